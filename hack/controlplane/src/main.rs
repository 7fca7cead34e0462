//! Command line of the control plane: `controlplane build` makes all programs ahead of the first test that needs them.
//!
//! The undocumented `hold DIR` runs a control plane until standard input closes, for the test that kills its holder.

use std::{
    env,
    error::Error,
    io::{self, Read},
    path::Path,
    process::ExitCode,
};

use controlplane::{Binaries, ControlPlane, Release, Tool};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["build"] => build(),
        ["hold", dir] => hold(Path::new(dir)),
        _ => Err("usage: controlplane build".into()),
    };
    if let Err(error) = result {
        eprintln!("controlplane: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn build() -> Result<(), Box<dyn Error>> {
    let newest = Binaries::locate(Release::Newest)?;
    let oldest = Binaries::locate(Release::Oldest)?;
    let all = [
        Tool::Helm,
        Tool::Kubeconform,
        Tool::Promtool,
        Tool::ArgoCd,
        Tool::Redis,
        Tool::ArgoCdLua,
        Tool::Kstatus,
    ];
    let tools = all.into_iter().map(Tool::locate).collect::<Result<Vec<_>, _>>()?;
    let Binaries { etcd, kube_apiserver, kube_controller_manager, kubectl } = newest;
    let control_plane = [etcd, kube_apiserver, kube_controller_manager, kubectl];
    for path in control_plane.iter().chain([&oldest.kube_apiserver]).chain(&tools) {
        println!("{}", path.display());
    }
    Ok(())
}

fn hold(dir: &Path) -> Result<(), Box<dyn Error>> {
    let control_plane = ControlPlane::start(dir)?;
    println!("{}", control_plane.url());
    io::stdin().read_to_end(&mut Vec::new())?;
    control_plane.stop()?;
    Ok(())
}
