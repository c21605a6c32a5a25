"""No module of sage.sensors imports torch or a device's package."""

import subprocess
import sys
from pathlib import Path

import sage.sensors

MODULES = sorted(
    path.relative_to(Path(sage.sensors.__file__).parents[1]).with_suffix("").as_posix().replace("/", ".")
    for path in Path(sage.sensors.__file__).parent.rglob("*.py")
)


def test_no_sensor_module_imports_torch_or_the_package_of_a_device() -> None:
    script = "import sys\n" + "".join(
        f"import sage.{module.removesuffix('.__init__')}\n" for module in MODULES
    )
    script += (
        "print([name for name in ('torch', 'av', 'pyarrow', 'pynvml', 'pandas') if name in sys.modules])"
    )
    root = Path(sage.sensors.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
