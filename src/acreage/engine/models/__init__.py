"""load_ml_model and ml_predict: models that a STAC item describes, run beside the engine as functions are."""

from acreage.engine.models.places import ModelFile, load_model
from acreage.engine.models.predict import Prediction, predicted

__all__ = ["ModelFile", "Prediction", "load_model", "predicted"]
