//! An anvil to compare with: the `npm ci` of contracts/ brings it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A running anvil of Osaka that makes blocks when it is asked to. It is killed when this is dropped.
pub(crate) struct Anvil {
    child: Child,
    address: String,
    // Where it keeps old states; dropped after the process.
    _states: TempDir,
}

impl Anvil {
    pub(crate) fn start(chain_id: u64, gas_limit: u64, timestamp_s: u64) -> Self {
        let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/node_modules/.bin/anvil");
        assert!(binary.exists(), "there is no anvil at {}: run `npm ci` in contracts/ first", binary.display());
        let states = tempfile::tempdir().unwrap();
        let mut child = Command::new(binary)
            .args(["--host", "127.0.0.1", "--port", "0", "--no-mining", "--order", "fifo"])
            .args(["--hardfork", "osaka", "--enable-tx-gas-limit"])
            .args(["--chain-id", &chain_id.to_string(), "--gas-limit", &gas_limit.to_string()])
            .args(["--timestamp", &timestamp_s.to_string()])
            .arg("--cache-path")
            .arg(states.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("anvil ended before it listened").unwrap();
            if let Some(address) = line.trim().strip_prefix("Listening on ") {
                break address.to_owned();
            }
        };
        // Keeps the pipe empty, as anvil logs every call; ends with it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, _states: states }
    }

    /// Makes a JSON-RPC call.
    pub(crate) fn ask(&self, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, json) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer}"));
        let mut answer: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert!(answer.get("error").is_none(), "{method} {params}: {}", answer["error"]);
        answer["result"].take()
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
