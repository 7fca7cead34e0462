//! As much of a Dockerfile as ours has, and how to carry it out below a directory instead of in a container.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A Dockerfile with its context.
pub struct Dockerfile {
    repository: PathBuf,
    /// The arguments before the first stage, with their defaults.
    arguments: Vec<(String, String)>,
    pub stages: Vec<Stage>,
    /// What `.dockerignore` lets through.
    pub context: Vec<String>,
}

/// One stage.
pub struct Stage {
    /// Empty if it has none.
    pub name: String,
    /// As it is written, without options.
    pub from: String,
    steps: Vec<(String, String)>,
}

impl Stage {
    /// What follows each instruction of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.steps.iter().filter(|(step, _)| step == name).map(|(_, rest)| rest.as_str()).collect()
    }
}

/// The `NAME=value` pairs of an `ENV` or `LABEL`.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let mut pairs = vec![];
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap(),
            None => after.split_at(after.find(' ').unwrap_or(after.len())),
        };
        pairs.push((name.to_owned(), value.to_owned()));
        rest = after.trim_start();
    }
    assert_eq!(rest, "", "no pair, in {text}");
    pairs
}

/// What a `COPY` copies.
pub fn sources(copy: &str) -> Vec<&str> {
    let mut words: Vec<&str> = copy.split_whitespace().collect();
    words.pop();
    words
}

/// The files below a directory, by their paths in it.
pub fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().to_owned());
            }
        }
    }
    found
}

/// Makes an empty directory.
fn empty(dir: &Path) {
    if dir.exists() {
        fs::remove_dir_all(dir).unwrap();
    }
    fs::create_dir_all(dir).unwrap();
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        for file in files(from) {
            copy(&from.join(&file), &to.join(&file));
        }
        return;
    }
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
}

/// A path of the container.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

impl Dockerfile {
    pub fn read(repository: &Path) -> Dockerfile {
        let text = |name| fs::read_to_string(repository.join(name)).unwrap();
        let ignore = text(".dockerignore");
        let lines: Vec<&str> = ignore.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines[0], "*", ".dockerignore says what is let through");
        let context = lines[1..].iter().map(|line| line.strip_prefix('!').unwrap().to_owned()).collect();
        let text = text("Dockerfile");
        let text: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let text = text.join("\n").replace("\\\n", " ");
        let (mut arguments, mut stages) = (vec![], Vec::<Stage>::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (step, rest) = line.split_once(' ').unwrap();
            let rest = rest.trim().to_owned();
            match (step, stages.last_mut()) {
                ("FROM", _) => {
                    let words: Vec<&str> = rest.split(' ').filter(|word| !word.starts_with("--")).collect();
                    let name = words.get(2).copied().unwrap_or_default().to_owned();
                    stages.push(Stage { name, from: words[0].to_owned(), steps: vec![] });
                }
                (_, Some(stage)) => stage.steps.push((step.to_owned(), rest)),
                ("ARG", None) => arguments.extend(pairs(&rest)),
                _ => panic!("{line}"),
            }
        }
        Dockerfile { repository: repository.to_owned(), arguments, stages, context }
    }

    pub fn stage(&self, name: &str) -> &Stage {
        self.stages.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("there is no stage {name}"))
    }

    fn base(&self, stage: &Stage, architecture: &str) -> String {
        let platform = [("TARGETARCH".to_owned(), architecture.to_owned())];
        let arguments = self.arguments.iter().chain(&platform);
        arguments.fold(stage.from.clone(), |from, (name, value)| from.replace(&format!("${{{name}}}"), value))
    }

    /// What each stage is from, on this architecture, with the stage's name.
    pub fn bases(&self, architecture: &str) -> Vec<(String, String)> {
        self.stages.iter().map(|stage| (self.base(stage, architecture), stage.name.clone())).collect()
    }

    /// Carries out the stage `build`, on this machine's architecture. What it is from is this machine, with the variables
    /// that the stages before it set; their commands install what this machine has to have already.
    pub fn build(&self, root: &Path, profile: &str) {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => panic!("there is no image for {other}"),
        };
        // Begins anew, but for what cargo has compiled.
        for left in ["src", "out"] {
            empty(&root.join(left));
        }
        let stage = self.stage("build");
        let mut variables = vec![];
        let mut before = stage;
        while let Some(next) = self.stages.iter().find(|s| s.name == self.base(before, architecture)) {
            variables.extend(next.all("ENV").into_iter().flat_map(pairs));
            before = next;
        }
        let (mut workdir, mut log) = (root.to_owned(), String::new());
        for (step, rest) in &stage.steps {
            match step.as_str() {
                "ARG" => {
                    assert_eq!(rest, "PROFILE=release");
                    variables.push(("PROFILE".into(), profile.to_owned()));
                }
                "ENV" => variables.extend(pairs(rest).into_iter().map(|(name, value)| {
                    let path =
                        value.starts_with('/').then(|| below(root, &value).to_str().unwrap().to_owned());
                    (name, path.unwrap_or(value))
                })),
                "WORKDIR" => workdir = below(root, rest),
                "COPY" => self.copy_from_context(rest, &workdir),
                "RUN" => log += &run(rest, &workdir, &variables),
                other => panic!("{other} in the stage build"),
            }
        }
        fs::write(root.join("build.log"), log).unwrap();
    }

    fn copy_from_context(&self, rest: &str, workdir: &Path) {
        let to = rest.split_whitespace().next_back().unwrap();
        let sources = sources(rest);
        for source in &sources {
            assert!(self.context.iter().any(|path| path == source), ".dockerignore keeps {source} back");
            let from = self.repository.join(source);
            // To a directory that ends with a slash, under its own name.
            let name = if to.ends_with('/') { from.file_name().unwrap().to_str().unwrap() } else { "" };
            let into = workdir.join(to.trim_start_matches("./"));
            copy(&from, &if name.is_empty() { into } else { into.join(name) });
        }
    }

    /// Puts together what the last stage copies: from the stage `build`, and else from this machine.
    pub fn assemble(&self, built: &Path, image: &Path) {
        empty(image);
        for step in self.stages.last().unwrap().all("COPY") {
            let words: Vec<&str> = step.split(' ').collect();
            let [from, source, to] = words[..] else { panic!("{step}") };
            let from = if from == "--from=build" { below(built, source) } else { PathBuf::from(source) };
            copy(&from, &below(image, to));
        }
    }
}

/// Runs a command as the builder's shell would; returns what it prints.
fn run(command: &str, workdir: &Path, variables: &[(String, String)]) -> String {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec 2>&1\n{command}")]).current_dir(workdir).stdin(Stdio::null());
    // Of the cargo that runs this test; they are not for another one.
    let inherited = std::env::vars().map(|(name, _)| name);
    for name in inherited.filter(|n| n.starts_with("CARGO") && n != "CARGO_HOME" || n == "RUSTFLAGS") {
        shell.env_remove(name);
    }
    let output = shell.envs(variables.iter().cloned()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        // The reason comes last, after a line for each crate that was compiled.
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(30)..].join("\n");
        panic!("{command}: {}\n{end}", output.status);
    }
    text
}
