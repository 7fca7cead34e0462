//! A Python with the SDK: a virtual environment in the user's cache, installed with pip once for each `requirements.txt` and
//! each Python. It needs no network after that.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// Prints what identifies the Python, or fails.
const IDENTIFY: &str =
    "import ensurepip, sys, venv; print(sys.executable, sys.version, sys.version_info >= (3, 10))";

const NEEDED: &str = "Python 3.10 or newer is needed as python3, with its modules venv and ensurepip, for the tests with Databricks' \
                      SDK: install it (Debian, Ubuntu: apt-get install python3-venv)";

/// The program that runs Python with the SDK.
pub fn with_sdk() -> Result<PathBuf, String> {
    let identity = identity("python3")?;
    let cache = cache().ok_or("no place for the SDK: set XDG_CACHE_HOME or HOME")?;
    let dir = cache.join(format!("sdk-{:016x}", key(&format!("{REQUIREMENTS}{identity}"))));
    fs::create_dir_all(&dir).map_err(failed("creating", &dir))?;
    // Of two processes the second one waits, and finds it installed.
    let lock = dir.join("lock");
    let file = File::create(&lock).map_err(failed("opening", &lock))?;
    file.lock().map_err(failed("locking", &lock))?;
    let done = dir.join("done");
    if !done.is_file() {
        install(&dir)?;
        fs::write(&done, "").map_err(failed("writing", &done))?;
    }
    Ok(dir.join("venv/bin/python"))
}

/// Which Python this is. Fails if it is missing, too old, or cannot create a virtual environment.
pub fn identity(python: &str) -> Result<String, String> {
    let output = Command::new(python).args(["-c", IDENTIFY]).output();
    let output = output.map_err(|error| format!("{python}: {error}. {NEEDED}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && printed.ends_with("True") {
        return Ok(printed);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let problem = errors.lines().last().unwrap_or(&printed);
    Err(format!("{python}: {} {problem}. {NEEDED}", output.status))
}

fn cache() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("databricks-operator/python"))
}

fn install(dir: &Path) -> Result<(), String> {
    eprintln!("installing Databricks' SDK for Python into {}, once", dir.display());
    let (venv, requirements) = (dir.join("venv"), dir.join("requirements.txt"));
    fs::write(&requirements, REQUIREMENTS).map_err(failed("writing", &requirements))?;
    // What an installation that was interrupted has left is replaced.
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    // The file names all that is needed, each as one wheel: nothing else is fetched, and nothing is compiled.
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
    let mut pip_install = Command::new(venv.join("bin/python"));
    pip_install.args(pip).args(["--require-hashes", "--only-binary", ":all:", "-r"]).arg(&requirements);
    run(&mut pip_install).map_err(|problem| {
        format!(
            "{problem}\nthe SDK is fetched once: pip must reach a package index (PIP_INDEX_URL, HTTPS_PROXY)"
        )
    })
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}\n{errors}", output.status)) }
}

fn failed<'a>(doing: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> String + 'a {
    move |error| format!("{doing} {}: {error}", path.display())
}

/// FNV-1a: a name that is the same with every compiler.
fn key(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
