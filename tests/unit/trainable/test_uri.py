"""URIs of directories in object storage."""

import pytest

from trainable.uri import child_uri, normalize_directory, parent_uri


def test_a_query_stays_at_the_end_of_a_uri() -> None:
    uri = "s3://bucket/sweeps?endpoint_override=http://h:9&scheme=http"
    child = child_uri(uri, "mine")
    assert child == "s3://bucket/sweeps/mine?endpoint_override=http://h:9&scheme=http"
    assert parent_uri(child) == (uri, "mine")


@pytest.mark.parametrize(
    ("path", "directory"),
    [
        ("experiments", "experiments"),
        ("file:///data/my%20sweeps", "/data/my sweeps"),
        ("s3://bucket/sweeps/", "s3://bucket/sweeps"),
        ("gs://bucket", "gs://bucket"),
        ("s3://b/p?region=eu-west-1", "s3://b/p?region=eu-west-1"),
    ],
)
def test_a_directory_is_a_path_or_a_normalized_uri(path: str, directory: str) -> None:
    assert normalize_directory(path) == directory


@pytest.mark.parametrize(
    "path",
    ["s3://AKIA:hush@bucket/p", "s3://hush@bucket/p", "s3://b/p?secret_key=hush", "gs://x:hush@b"],
)
def test_a_uri_with_a_secret_is_refused_without_repeating_it(path: str) -> None:
    with pytest.raises(ValueError, match="must not hold a user name or a secret") as raised:
        normalize_directory(path)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("path", ["s3:///p", "file://elsewhere/p"])
def test_a_uri_without_a_directory_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="must"):
        normalize_directory(path)
