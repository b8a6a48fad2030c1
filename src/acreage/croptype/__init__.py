"""The application's science: reference data, time series, features, model, training, validation, workflow."""
