//! Databricks' own SDK for Python, unmodified, can use all that the simulator serves. `calls.py` has what it calls, `run.py` runs it,
//! `requirements.txt` is its version.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod python;

use std::path::Path;
use std::process::Command;

#[test]
fn the_python_sdk_can_use_every_collection() {
    let python = python::with_sdk().unwrap_or_else(|problem| panic!("{problem}"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
    let mut run = Command::new(python);
    // Neither a configuration nor a proxy of the user, and no compiled files in the repository.
    run.env_clear().env("HOME", env!("CARGO_TARGET_TMPDIR")).arg("-B").arg(folder.join("run.py"));
    let output = run.env("SIMULATOR", env!("CARGO_BIN_EXE_simulator")).output().unwrap();
    let (printed, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{printed}\n{errors}", output.status);
    assert!(printed.lines().filter(|line| line.contains(": ok (")).count() > 30, "{printed}");
}

#[test]
fn without_a_usable_python_the_error_says_what_to_install() {
    // A program that fails, as Python does where a module is missing.
    for python in ["/no/python", "/bin/false"] {
        let problem = python::identity(python).unwrap_err();
        for part in [python, "Python 3.10", "venv", "apt-get install python3-venv"] {
            assert!(problem.contains(part), "{part} is not in: {problem}");
        }
    }
}
