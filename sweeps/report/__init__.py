"""The HTML report, its charts and tables, and the Optuna study behind them."""
