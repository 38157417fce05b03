"""Reports a running sweep to experiment trackers: MLflow, W&B, Trackio and Optuna's journal.

The driver has one thread per tracker (`reporter`), which reads the trials' `trial.json` and
`metrics.jsonl` and hands what is new to a process (`worker`) that uses the tracker's own client.
A client that hangs is killed, one that fails is tried again later, and neither affects the sweep.
"""
