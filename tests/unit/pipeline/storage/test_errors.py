"""Storage errors as values."""

import pickle

from pipeline.storage import StorageError


def test_an_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(StorageError("s3://b/x: gone", "throttled", True)))
    assert (str(error), error.error_type, error.retryable) == ("s3://b/x: gone", "throttled", True)
