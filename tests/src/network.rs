//! Machines that a cluster runs on: loopback addresses, or network namespaces joined by a bridge.
//!
//! A namespace has its own addresses, routes and neighbours, so links between them can be cut, one
//! way or both, as between real machines. Making them takes rights that not every test has.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Where `ip netns` keeps its namespaces.
const NAMESPACES: &str = "/run/netns";

/// A hardware address that nobody has: what is sent there is lost without a word.
const NOWHERE: &str = "02:00:00:00:00:fe";

/// A machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its address.
    pub address: String,
    /// Its network namespace, if it has one of its own.
    namespace: Option<String>,
}

impl Machine {
    /// Makes a command that runs on this machine.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let Some(namespace) = &self.namespace else { return Command::new(program) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(program);
        command
    }
}

/// Some machines; what was made for them goes with it.
#[derive(Debug)]
pub struct Network {
    machines: Vec<Machine>,
    /// What joins the namespaces, if there are any.
    bridge: Option<String>,
}

impl Network {
    /// Machines that are loopback addresses.
    ///
    /// # Panics
    ///
    /// If there are not between 1 and 99 of them.
    #[must_use]
    pub fn loopback(machines: usize) -> Self {
        assert!((1..100).contains(&machines), "a machine needs an address");
        let machine = |number| Machine { address: format!("127.0.0.{number}"), namespace: None };
        Self { machines: (1..=machines).map(machine).collect(), bridge: None }
    }

    /// Machines that are network namespaces on one bridge, which this process reaches too.
    ///
    /// # Errors
    ///
    /// Why there can be none here: no `ip` (Debian: iproute2), or no rights.
    pub fn namespaces(machines: usize) -> Result<Self, String> {
        sweep();
        let pid = std::process::id();
        let (high, low) = (64 + pid % 128, pid / 128 % 256);
        let bridge = format!("sq{pid}b");
        let mut network = Self { machines: Vec::new(), bridge: Some(bridge.clone()) };
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        ip(&["address", "add", &format!("10.{high}.{low}.254/24"), "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        for number in 1..=machines {
            let (name, outside) = (format!("sq{pid}n{number}"), format!("sq{pid}v{number}"));
            ip(&["netns", "add", &name])?;
            let address = format!("10.{high}.{low}.{number}");
            let namespace = Some(name.clone());
            network.machines.push(Machine { address: address.clone(), namespace });
            let ends = ["type", "veth", "peer", "name", "eth0", "netns", &name];
            ip(&[&["link", "add", &outside][..], &ends].concat())?;
            ip(&["link", "set", &outside, "master", &bridge, "up"])?;
            ip(&["-n", &name, "address", "add", &format!("{address}/24"), "dev", "eth0"])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
            ip(&["-n", &name, "link", "set", "eth0", "up"])?;
        }
        Ok(network)
    }

    /// Its machines.
    #[must_use]
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// Loses everything that one machine sends to the other; the other way stays.
    ///
    /// # Panics
    ///
    /// If they have no namespaces, or the system refuses.
    pub fn cut_one_way(&self, from: usize, to: usize) {
        let (namespace, address) = self.way(from, to);
        let lost = ["lladdr", NOWHERE, "dev", "eth0", "nud", "permanent"];
        let cut = ip(&[&["-n", namespace, "neigh", "replace", address][..], &lost].concat());
        cut.unwrap_or_else(|problem| panic!("cannot cut {from} -> {to}: {problem}"));
    }

    /// Loses everything between two machines.
    pub fn cut(&self, one: usize, other: usize) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Lets everything between two machines through again.
    ///
    /// # Panics
    ///
    /// If the system refuses.
    pub fn heal(&self, one: usize, other: usize) {
        for (from, to) in [(one, other), (other, one)] {
            let (namespace, address) = self.way(from, to);
            // That way may never have been cut.
            drop(ip(&["-n", namespace, "neigh", "del", address, "dev", "eth0"]));
        }
    }

    fn way(&self, from: usize, to: usize) -> (&str, &str) {
        let namespace = self.machines[from].namespace.as_deref();
        (namespace.expect("only namespaces can be cut"), &self.machines[to].address)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let Some(bridge) = &self.bridge else { return };
        for namespace in self.machines.iter().filter_map(|it| it.namespace.as_deref()) {
            drop(ip(&["netns", "delete", namespace]));
        }
        drop(ip(&["link", "delete", bridge]));
    }
}

/// Removes what test processes left that were killed.
fn sweep() {
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let is_left = |name: &&String, kind: char| {
        let owner = name.strip_prefix("sq").and_then(|rest| rest.split_once(kind));
        let owner = owner.filter(|(pid, _)| pid.parse::<u32>().is_ok());
        owner.is_some_and(|(pid, _)| !Path::new("/proc").join(pid).exists())
    };
    for namespace in names(NAMESPACES).iter().filter(|name| is_left(name, 'n')) {
        drop(ip(&["netns", "delete", namespace]));
    }
    for bridge in names("/sys/class/net").iter().filter(|name| is_left(name, 'b')) {
        drop(ip(&["link", "delete", bridge]));
    }
}

/// Runs `ip`.
fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output();
    let output: Output = output.map_err(|error| format!("no `ip` (package iproute2): {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("ip {}: {said}", arguments.join(" ")))
}
