//! Whom a request is addressed to, and which web page sends it.
//!
//! A web page can rebind its own host name to this node's address, and the browser then lets it read our answers. Its
//! requests still carry its name, so names that the operator did not list are refused. An address in place of a name
//! cannot be rebound.
//!
//! A browser lets every page open a WebSocket to anybody and only adds the page's origin, so a request that has one is
//! refused unless the operator listed it. Programs that are no browsers send none.

use std::net::{IpAddr, Ipv6Addr};

/// Host names that requests may be addressed to.
#[derive(Clone, Debug)]
pub(super) struct AllowedHosts {
    names: Vec<String>,
    any: bool,
}

impl AllowedHosts {
    pub(super) fn new(names: &[String]) -> Self {
        let any = names.iter().any(|name| name == "*");
        Self { names: names.iter().map(|name| name.to_ascii_lowercase()).collect(), any }
    }

    /// Returns whether a request with this `Host` header is served. HTTP/1.0 has none, and browsers do not speak it.
    pub(super) fn allow(&self, host: Option<&str>) -> bool {
        let Some(host) = host else { return true };
        if self.any {
            return true;
        }
        let name = without_port(host);
        if name.parse::<IpAddr>().is_ok() {
            return true;
        }
        let name = name.to_ascii_lowercase();
        self.names.contains(&name)
    }
}

/// Web pages that may open a WebSocket, as `scheme://host[:port]`.
#[derive(Clone, Debug)]
pub(super) struct AllowedOrigins {
    origins: Vec<String>,
    any: bool,
}

impl AllowedOrigins {
    pub(super) fn new(origins: &[String]) -> Self {
        let any = origins.iter().any(|origin| origin == "*");
        Self { origins: origins.iter().map(|origin| origin.to_ascii_lowercase()).collect(), any }
    }

    /// Returns whether a request with this `Origin` header may become a WebSocket.
    pub(super) fn allow(&self, origin: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        self.any || self.origins.contains(&origin.to_ascii_lowercase())
    }
}

fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or(host, |(address, _)| address);
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        return host;
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_listed_names_pass_and_other_names_do_not() {
        let hosts = AllowedHosts::new(&["localhost".into(), "Node0".into()]);
        for host in
            ["localhost", "LOCALHOST:8545", "node0:1", "127.0.0.1:8545", "10.0.0.1", "[::1]:8545", "::1", "[::1]"]
        {
            assert!(hosts.allow(Some(host)), "{host}");
        }
        for host in ["evil.example", "evil.example:8545", "localhost.evil.example", "", "127.0.0.1.evil.example"] {
            assert!(!hosts.allow(Some(host)), "{host}");
        }
        assert!(hosts.allow(None));
        assert!(AllowedHosts::new(&["*".into()]).allow(Some("evil.example")));
    }

    #[test]
    fn pages_pass_only_if_listed_and_programs_always() {
        let origins = AllowedOrigins::new(&["https://app.example".into(), "http://localhost:3000".into()]);
        for origin in [None, Some("https://app.example"), Some("HTTPS://App.example"), Some("http://localhost:3000")] {
            assert!(origins.allow(origin), "{origin:?}");
        }
        for origin in ["http://app.example", "https://app.example.evil", "http://localhost", "null", ""] {
            assert!(!origins.allow(Some(origin)), "{origin}");
        }
        assert!(!AllowedOrigins::new(&[]).allow(Some("https://app.example")));
        assert!(AllowedOrigins::new(&["*".into()]).allow(Some("https://app.example")));
    }
}
