//! Databricks' Terraform provider, unmodified, against the simulated account. `make terraform` runs it.
//!
//! The provider creates, plans, changes and destroys the module in `module/`, and each step must do what a user expects of it: nothing
//! is planned after an apply, and at the end the account is as it was before. It shows that the simulator responds as this client
//! expects, which was written by others and runs against the real API. It is not part of the tests, as Go takes minutes to build it.
//!
//! The map: `proxy` gives the simulated account the names of the real one, `tofu` runs the steps, `table` has their results.

mod proxy;
mod table;
mod tofu;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use controlplane::Tool;
use serde::Serialize;
use serde_json::Value;
use simulator::{Config, Settings, Simulator};

use crate::proxy::Proxy;
use crate::table::Table;
use crate::tofu::{Expected, Tofu};

const PLAN: &[&str] = &["plan", "-detailed-exitcode"];
const APPLY: &[&str] = &["apply", "-auto-approve"];
const DESTROY: &[&str] = &["destroy", "-auto-approve"];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Parser)]
#[command(about = "Runs Databricks' Terraform provider against the simulated account")]
struct Arguments {
    /// OpenTofu's or Terraform's program [default: OpenTofu, which Go builds once]
    #[arg(long, env = "TOFU", value_name = "PATH")]
    tofu: Option<PathBuf>,
    /// The provider's program, `terraform-provider-databricks` [default: Go builds one once]
    #[arg(long, env = "PROVIDER", value_name = "PATH")]
    provider: Option<PathBuf>,
    /// Writes what each step reported and the calls that the account got to this folder, one a line, as JSON
    #[arg(long, env = "RECORD", value_name = "PATH")]
    record: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("terraform: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all steps did what they should.
async fn run(arguments: Arguments) -> Result<bool> {
    let located = |given: Option<PathBuf>, tool: Tool| given.map_or_else(|| tool.locate(), Ok);
    let program = located(arguments.tofu, Tool::Tofu)?;
    let provider = located(arguments.provider, Tool::TerraformProvider)?;
    // Small pages, so that lists have several. Small ids, as the provider keeps numbers as floats.
    let settings = Settings { page_size: 2, small_ids: true, ..Settings::default() };
    let account = Simulator::start(Config { settings, ..Config::default() }).await?;
    let proxy = Proxy::open(&account.url()).await?;
    let tofu = Tofu::new(&program, &provider, &proxy, &account)?;
    println!("{}\n", tofu.versions()?);

    let before = objects(&account);
    let (mut table, mut recorded) = (Table::default(), Vec::new());
    // A failed step does not keep the others from running: that of a destroy cleans up, and each shows more.
    for (title, command, changed, expected) in [
        ("plan", PLAN, false, Expected::Planned),
        ("apply", APPLY, false, Expected::Created),
        ("plan again", PLAN, false, Expected::Nothing),
        ("change", APPLY, true, Expected::Changed),
        ("plan again", PLAN, true, Expected::Nothing),
        ("destroy", DESTROY, true, Expected::Deleted),
    ] {
        eprintln!("{title}");
        // The account and the proxy are served by the runtime's other threads meanwhile.
        let step = tokio::task::block_in_place(|| tofu.step(command, changed))?;
        recorded.push((format!("{}-{title}.jsonl", recorded.len() + 1), lines(&step.events)?));
        table.add(title, &step, expected);
    }
    println!("{table}");
    let left = left_behind(&before, &objects(&account));
    if let Some(folder) = arguments.record {
        fs::create_dir_all(&folder)?;
        recorded.push(("calls.jsonl".to_owned(), lines(&account.journal())?));
        recorded.into_iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))?;
    }
    let mut wrong = table.problems();
    wrong.extend(left.into_iter().map(|what| format!("the account is not as it was before: {what}")));
    wrong.iter().for_each(|problem| println!("{problem}"));
    if wrong.is_empty() {
        println!("All steps did what they should, and the account is as it was before.");
    }
    account.stop().await;
    Ok(wrong.is_empty())
}

/// Each value as a line of JSON.
fn lines<T: Serialize>(values: &[T]) -> Result<String> {
    let lines: serde_json::Result<Vec<String>> = values.iter().map(serde_json::to_string).collect();
    Ok(lines?.join("\n") + "\n")
}

/// All objects of the account, by collection.
fn objects(account: &Simulator) -> BTreeMap<String, Vec<Value>> {
    let named = account.served().into_iter().map(|served| (account.objects(&served.name), served.name));
    named.map(|(objects, name)| (name, objects)).collect()
}

/// What differs from before, but for what no client can remove: a log delivery is disabled, a rule set has no rules.
fn left_behind(before: &BTreeMap<String, Vec<Value>>, after: &BTreeMap<String, Vec<Value>>) -> Vec<String> {
    let stays = |collection: &str, object: &Value| match collection {
        "log-delivery" => object["status"] == "DISABLED",
        "rule-sets" => object.get("grant_rules").is_none(),
        _ => false,
    };
    let mut differ = Vec::new();
    for (collection, then) in before {
        let now = after.get(collection).into_iter().flatten().filter(|object| !stays(collection, object));
        let (then, now): (Vec<&Value>, Vec<&Value>) = (then.iter().collect(), now.collect());
        let new = now.iter().filter(|object| !then.contains(object)).map(|object| ("new or changed", object));
        let gone =
            then.iter().filter(|object| !now.contains(object)).map(|object| ("gone or changed", object));
        differ.extend(new.chain(gone).map(|(what, object)| format!("{collection}, {what}: {object}")));
    }
    differ
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_readme_of_the_simulator_names_what_the_module_has() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let readme = fs::read_to_string(format!("{root}/simulator/README.md")).unwrap();
        let (_, section) = readme.split_once("\n## With Terraform\n").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |"));
        let named: BTreeSet<String> =
            rows.flat_map(|row| row.split('`').skip(1).step_by(2).map(str::to_owned)).collect();
        let files = fs::read_dir(tofu::MODULE).unwrap().map(|file| file.unwrap().path());
        let module: String = files.map(|path| fs::read_to_string(path).unwrap()).collect();
        let blocks = module.lines().filter(|line| line.starts_with("resource ") || line.starts_with("data "));
        let types = blocks.filter_map(|line| line.split('"').nth(1)?.strip_prefix("databricks_"));
        assert_eq!(named, types.map(str::to_owned).collect());
    }
}
