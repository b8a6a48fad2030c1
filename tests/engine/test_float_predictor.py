"""TIFF's floating point predictor: what imagecodecs writes is undone to the last bit."""

from __future__ import annotations

import imagecodecs
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from acreage.engine.float_predictor import undo_float_predictor


@settings(max_examples=60)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 20), st.integers(1, 40)),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
    )
)
def test_undone_is_what_it_was(values: np.ndarray) -> None:
    encoded = np.frombuffer(imagecodecs.floatpred_encode(values, axis=-1), np.float32).reshape(values.shape)
    found = undo_float_predictor(encoded.copy())
    assert np.array_equal(found.view(np.uint32), values.view(np.uint32))
