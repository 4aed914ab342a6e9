"""TensorFlow Datasets and the threads beside the one that imports it."""

import subprocess
import sys

# A thread that imports a class again and again, as Dask's do, while the main thread imports a module.
IMPORTS_BESIDE = """
import sys, threading
sys.setswitchinterval(1e-6)
is_over = threading.Event()
errors = []

def look():
    while not is_over.is_set():
        try:
            from json.decoder import JSONDecoder
            JSONDecoder()
        except Exception as error:
            errors.append(error)

thread = threading.Thread(target=look)
thread.start()
import {module}
is_over.set()
thread.join()
print("good" if not errors else f"bad: {{errors[0]!r}}")
"""


def test_other_threads_import_as_ever_meanwhile():
    code = IMPORTS_BESIDE.format(module="tuner.data.tfds")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "good\n", done.stderr
