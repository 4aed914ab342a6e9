"""The libraries that decide a result are named with their versions."""

from tuner.versions import library_versions


def test_versions_name_what_decides_a_result():
    versions = library_versions()
    # TensorFlow itself is left out: where it comes as tensorflow-cpu, nothing is installed under its name.
    assert {"python", "keras", "keras-tuner", "optuna", "tensorflow-datasets", "numpy"} <= set(versions)
    assert all(version[0].isdigit() for version in versions.values())
