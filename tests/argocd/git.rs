//! A local git repository, as the one that people merge to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The folder of manifests, a file each, where `config/argocd/account.yaml` looks for them.
const FOLDER: &str = "config/argocd/account";

/// A repository.
pub struct Repository {
    dir: PathBuf,
}

impl Repository {
    /// One in a new directory, with no manifests in it yet.
    pub fn new(dir: &Path) -> Repository {
        fs::create_dir_all(dir.join(FOLDER)).unwrap();
        let repository = Repository { dir: dir.to_owned() };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        // A folder without files is none to git, and an error to Argo CD.
        fs::write(dir.join(FOLDER).join("README.md"), "What we keep at Databricks.\n").unwrap();
        repository
    }

    /// Copies a folder of ours into it. See [`Repository::commit`].
    pub fn copy(&self, root: &Path, folder: &str) {
        let parent = self.dir.join(folder).parent().unwrap().to_owned();
        fs::create_dir_all(&parent).unwrap();
        let copied = Command::new("cp").arg("-R").arg(root.join(folder)).arg(parent).status();
        assert!(copied.unwrap().success());
    }

    /// Its address for Argo CD.
    pub fn url(&self) -> String {
        format!("file://{}", self.dir.display())
    }

    /// Writes a manifest. See [`Repository::commit`].
    pub fn put(&self, file: &str, manifest: &Value) {
        self.put_text(file, &format!("{manifest:#}\n"));
    }

    /// Writes what may be no manifest. See [`Repository::commit`].
    pub fn put_text(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    /// Removes a file. See [`Repository::commit`].
    pub fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).unwrap();
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.join(FOLDER).join(format!("{file}.yaml"))
    }

    /// Commits all changes; returns the revision.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args([
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@example.com",
            "-c",
            "commit.gpgsign=false",
        ]);
        // What the machine's user has set up must not matter.
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(name);
        }
        let output = command.args(args).current_dir(&self.dir).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}
