"""Names: suggestions for misspelt ones, and names that may become a directory."""

import pytest

from trainable.config.names import (
    MAX_NAME_LENGTH,
    check_directory_name,
    check_name,
    count_edits,
    similarity,
    suggestion,
)


def test_similarity_ignores_case_and_ties_go_to_the_longer_common_prefix():
    assert similarity("ADAM", "adam") == (1.0, 4)
    assert similarity("adam", "xyz") == (0.0, 0)
    assert similarity("ab", "ac")[0] == similarity("ab", "cb")[0]
    assert similarity("ab", "ac") > similarity("ab", "cb")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("adm", '; did you mean "adam"? (known: adam, sgd)'),
        ("SGD", '; did you mean "sgd"? (known: adam, sgd)'),
        ("zzz", " (known: adam, sgd)"),
    ],
)
def test_a_suggestion_names_a_similar_name_and_lists_a_few(name, text):
    assert suggestion(name, ["sgd", "adam"]) == text


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("onecycle", ["constant", "cosine", "none", "step"]),
        ("mean", ["augment", "download", "name", "root"]),
        ("rmsprop", ["adam", "adamw", "sgd"]),
        ("nag", ["adam", "sgd"]),
        ("a", ["b", "ab"]),
    ],
)
def test_a_name_that_is_no_misspelling_gets_no_suggestion(name, known):
    assert "did you mean" not in suggestion(name, known)


@pytest.mark.parametrize(
    ("name", "known", "nearest"),
    [
        ("mpl", ["mlp", "dropout_cnn"], "mlp"),
        ("CIFAR", ["cifar10", "mnist"], "cifar10"),
        ("batch.size", ["batch_size", "epochs"], "batch_size"),
        ("resnet-18", ["resnet18", "resnet101"], "resnet18"),
        ("test_acc", ["best_acc", "train_acc", "val_acc"], "val_acc"),
        ("weigth_decy", ["weight_decay", "momentum"], "weight_decay"),
    ],
)
def test_a_misspelling_a_part_and_a_synonym_lead_to_the_name(name, known, nearest):
    assert f'did you mean "{nearest}"?' in suggestion(name, known)


@pytest.mark.parametrize(
    ("first", "second", "edits"),
    [
        ("", "", 0),
        ("abc", "", 3),
        ("abc", "abc", 0),
        ("abcd", "acbd", 1),
        ("kitten", "sitting", 3),
    ],
)
def test_edits_are_counted_with_swapped_letters_as_one(first, second, edits):
    assert count_edits(first, second) == count_edits(second, first) == edits


def test_a_long_list_is_not_shown_and_an_empty_one_suggests_nothing():
    assert suggestion("key7", [f"key{n}" for n in range(20)]) == '; did you mean "key7"?'
    assert suggestion("key", []) == ""


def test_an_unknown_name_is_refused_with_the_nearest():
    assert check_name("sgd", ["adam", "sgd"]) == "sgd"
    with pytest.raises(ValueError, match=r'unknown name, found "sdg"; did you mean "sgd"\?'):
        check_name("sdg", ["adam", "sgd"])


@pytest.mark.parametrize("name", ["a", "lr=0.1", "ünïcode", "a.b", "a" * MAX_NAME_LENGTH])
def test_a_plain_name_may_become_a_directory(name):
    assert check_directory_name(name) == name


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("..", "must be one directory's name"),
        ("a/b", "must be one directory's name"),
        ("a\\b", "must be one directory's name"),
        ("a:b", "must be one directory's name"),
        ("a\n", "must have no control characters or outer blanks"),
        (" a", "must have no control characters or outer blanks"),
        ("", "must not be empty or start with a dot or a dash"),
        (".a", "must not be empty or start with a dot or a dash"),
        ("-a", "must not be empty or start with a dot or a dash"),
        ("ü" * (MAX_NAME_LENGTH // 2 + 1), f"must be at most {MAX_NAME_LENGTH} bytes long"),
    ],
)
def test_a_name_that_breaks_a_rule_is_refused(name, rule):
    with pytest.raises(ValueError, match=rule):
        check_directory_name(name)
