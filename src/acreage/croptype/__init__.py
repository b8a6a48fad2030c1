"""The application's science: workflow graphs, reference data, sampling, model, training, validation."""
