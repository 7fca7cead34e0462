//! Runs OpenTofu with the provider as a user would, in a directory and an environment of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use serde_json::Value;
use simulator::Simulator;
use tempfile::TempDir;

use crate::Result;
use crate::proxy::Proxy;

/// The module, as this crate has it in its source tree.
pub const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/module");

/// What a step must do.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    /// Plan to create every resource.
    Planned,
    /// Create every resource.
    Created,
    /// Find nothing to change.
    Nothing,
    /// Change what the module says.
    Changed,
    /// Delete every resource.
    Deleted,
}

/// What a step did.
pub struct Step {
    /// How it ended, as `tofu` documents it: a plan with changes ends with 2.
    pub code: Option<i32>,
    /// What it reported: a JSON object for each line that a user would see.
    pub events: Vec<Value>,
}

/// OpenTofu, set up for one account.
pub struct Tofu {
    program: PathBuf,
    provider: PathBuf,
    dir: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Tofu {
    /// Copies the module to a directory that is removed with this value; its state is there too.
    pub fn new(program: &Path, provider: &Path, proxy: &Proxy, account: &Simulator) -> Result<Tofu> {
        let dir = tempfile::tempdir()?;
        for file in fs::read_dir(MODULE)? {
            let file = file?;
            fs::copy(file.path(), dir.path().join(file.file_name()))?;
        }
        let path = |name: &str| dir.path().join(name).display().to_string();
        fs::write(path("proxy.pem"), &proxy.certificate)?;
        // With an override OpenTofu takes the program that is there, and asks no registry.
        let provider = std::path::absolute(provider)?;
        let folder = provider.parent().ok_or("the provider is not in a directory")?;
        let overrides = format!(
            "provider_installation {{\n  dev_overrides {{ \"databricks/databricks\" = {folder:?} }}\n  direct {{}}\n}}\n"
        );
        fs::write(path("tofu.rc"), overrides)?;
        let environment = vec![
            ("HOME", dir.path().display().to_string()),
            ("TF_CLI_CONFIG_FILE", path("tofu.rc")),
            ("TF_IN_AUTOMATION", "1".to_owned()),
            ("CHECKPOINT_DISABLE", "1".to_owned()),
            ("HTTPS_PROXY", format!("http://{}", proxy.address)),
            ("SSL_CERT_FILE", path("proxy.pem")),
            ("TF_VAR_account_id", account.account_id.clone()),
            ("TF_VAR_client_id", account.client_id.clone()),
            ("TF_VAR_client_secret", account.client_secret.clone()),
        ];
        Ok(Tofu { program: std::path::absolute(program)?, provider, dir, environment })
    }

    /// Which versions run, as they say themselves.
    pub fn versions(&self) -> Result<String> {
        let said = |program: &Path| -> io::Result<String> {
            let output = self.command(program).arg("version").output()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Ok(text.lines().next().unwrap_or_default().to_owned())
        };
        Ok(format!("{}, Databricks' provider {}", said(&self.program)?, said(&self.provider)?))
    }

    /// Runs a command of OpenTofu to its end.
    pub fn step(&self, arguments: &[&str], changed: bool) -> Result<Step> {
        let mut command = self.command(&self.program);
        command.args(arguments).args(["-json", "-input=false", "-no-color"]);
        let output = command.arg(format!("-var=changed={changed}")).stderr(Stdio::inherit()).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        // Lines that are no JSON are for people.
        let events = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Step { code: output.status.code(), events })
    }

    /// With nothing of this process's environment, which may have an account of its own.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.dir.path()).env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::null());
        command
    }
}
