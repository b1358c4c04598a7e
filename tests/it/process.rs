//! The server as a process of its own.

use crate::world::{ANA, Caller, World};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Ends with this value at the latest.
pub struct Server {
    pub child: Child,
    pub address: String,
}

impl Server {
    pub fn begin(world: &World) -> Server {
        Server::begin_in(world, &[], &[])
    }

    /// With more environment, and run by another command.
    pub fn begin_in(world: &World, environment: &[(&str, &OsStr)], prefix: &[&str]) -> Server {
        let mut child = serve(world, prefix)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("undertone is listening on ").map(str::to_owned);
        let address = address.unwrap_or_else(|| panic!("said '{line}'"));
        Server { child, address }
    }

    pub async fn ana(&self) -> Caller {
        Caller::connect(&self.address, ANA).await
    }

    /// SIGKILL: nothing in the process gets a chance to tidy up.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs the server, by another command where there is one.
pub fn serve(world: &World, prefix: &[&str]) -> Command {
    let words = [prefix, &[env!("CARGO_BIN_EXE_undertone"), "serve", "--listen", "127.0.0.1:0", "--config"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(world.path("undertone.toml")).env("UNDERTONE_LOG", "off");
    command
}
