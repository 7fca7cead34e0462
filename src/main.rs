//! Parses the command line, runs, and turns the result into an exit code.

fn main() -> std::process::ExitCode {
    databricks_operator::cli::main()
}
