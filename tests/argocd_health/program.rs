//! A program that answers questions, one line of JSON each.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use world::Tool;

use crate::layout;

/// It ends when it is dropped.
pub struct Program {
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Program {
    fn start(tool: Tool, args: &[&OsStr]) -> Program {
        let mut command = Command::new(tool.locate().unwrap());
        let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (asks, answers) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Program { child, asks, answers }
    }

    /// Argo CD with the scripts of a ConfigMap.
    pub fn configured(config_map: &Path) -> Program {
        Program::start(Tool::ArgoCdLua, &["config".as_ref(), config_map.as_ref()])
    }

    /// Argo CD as if it were built with our layout.
    pub fn built_in() -> Program {
        let layout = layout::folder().join(layout::LAYOUT);
        Program::start(Tool::ArgoCdLua, &["built-in".as_ref(), layout.as_ref()])
    }

    /// What Flux and Helm compute.
    pub fn kstatus() -> Program {
        Program::start(Tool::Kstatus, &[])
    }

    /// The answer to a question.
    pub fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.asks.as_mut().unwrap(), "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?} is the answer to {question}"))
    }

    /// What Argo CD says about an object: health, and actions by name with whether they are off.
    pub fn look(&mut self, object: &Value) -> Value {
        self.ask(&json!({"object": object}))
    }

    /// What an action makes of an object.
    pub fn act(&mut self, action: &str, object: &Value) -> Value {
        let mut answer = self.ask(&json!({"object": object, "action": action}));
        assert!(answer["error"].is_null(), "{action}: {}", answer["error"]);
        answer["result"].take()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.asks.take());
        self.child.wait().unwrap();
    }
}
