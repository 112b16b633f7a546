// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Proxies from the environment, by the rules of curl: `http_proxy` and `https_proxy` for URLs of that
//! scheme, `all_proxy` for both, `no_proxy` for exceptions. Names in capitals are read if those are not
//! set.

use std::env;
use std::net::IpAddr;

use ureq::http::Uri;
use ureq::Proxy;

use super::BackendError;

/// The proxies of all URLs.
#[derive(Debug)]
pub(super) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exceptions: Vec<Exception>,
}

/// Hosts that are connected to without a proxy.
#[derive(Debug, PartialEq, Eq)]
enum Exception {
    /// `*`
    All,
    /// Addresses that share the first bits with this one.
    Network(IpAddr, u8),
    /// A domain with its subdomains, on any port or this one.
    Domain(String, Option<u16>),
}

impl Proxies {
    /// # Errors
    /// A variable is not the URL of a proxy.
    pub(super) fn from_environment() -> Result<Self, BackendError> {
        Self::new(|name| env::var(name).ok())
    }

    fn new(variable: impl Fn(&str) -> Option<String>) -> Result<Self, BackendError> {
        let either_case = |name: &str| {
            let name = [name.to_owned(), name.to_ascii_uppercase()];
            let value = name.into_iter().find_map(|name| variable(&name));
            value.filter(|value| !value.trim().is_empty())
        };
        let proxy = |name: &str| {
            let Some(url) = either_case(name).or_else(|| either_case("all_proxy")) else {
                return Ok(None);
            };
            let proxy = Proxy::new(url.trim());
            proxy.map(Some).map_err(|_| BackendError::Proxy(url))
        };
        let exceptions = either_case("no_proxy").unwrap_or_default();
        Ok(Self {
            http: proxy("http_proxy")?,
            https: proxy("https_proxy")?,
            exceptions: exceptions
                .split([',', ' ', '\t'])
                .filter(|entry| !entry.is_empty())
                .map(Exception::parse)
                .collect(),
        })
    }

    /// The proxy for a URL; `None` for a direct connection.
    pub(super) fn of(&self, url: &Uri) -> Option<&Proxy> {
        let (proxy, port) = match url.scheme_str() {
            Some("https") => (&self.https, 443),
            _ => (&self.http, 80),
        };
        let host = url.host().unwrap_or_default();
        let port = url.port_u16().unwrap_or(port);
        let direct = self.exceptions.iter().any(|not| not.matches(host, port));
        proxy.as_ref().filter(|_| !direct)
    }
}

impl Exception {
    fn parse(entry: &str) -> Self {
        if entry == "*" {
            return Self::All;
        }
        if let Some(address) = address(entry) {
            return Self::Network(address, 128);
        }
        if let Some((network, bits)) = entry.split_once('/') {
            if let (Some(network), Ok(bits)) = (address(network), bits.parse()) {
                return Self::Network(network, bits);
            }
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok() => (name, port.parse().ok()),
            _ => (entry, None),
        };
        let name = name.strip_prefix("*.").unwrap_or(name);
        Self::Domain(name.trim_matches('.').to_ascii_lowercase(), port)
    }

    fn matches(&self, host: &str, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Network(network, bits) => {
                address(host).is_some_and(|host| same_start(host, *network, *bits))
            }
            Self::Domain(domain, of_port) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let above = host.strip_suffix(domain.as_str());
                above.is_some_and(|above| {
                    above.is_empty() || (above.ends_with('.') && address(&host).is_none())
                }) && !domain.is_empty()
                    && of_port.is_none_or(|of_port| of_port == port)
            }
        }
    }
}

/// An address, which may be in brackets as in a URL.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text).parse().ok()
}

/// Returns whether the first bits of two addresses are the same; more bits than an address has are all
/// of them.
fn same_start(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let (differing, len) = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            (u128::from(one.to_bits() ^ other.to_bits()) << 96, 32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits(), 128),
        _ => return false,
    };
    differing.leading_zeros() >= u32::from(bits).min(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Host of the proxy for `url` with these variables.
    fn proxy_of(url: &str, variables: &[(&str, &str)]) -> Option<String> {
        let value = |name: &str| {
            let set = variables.iter().find(|(set, _)| *set == name);
            set.map(|(_, value)| (*value).to_owned())
        };
        let proxies = Proxies::new(value).unwrap();
        let proxy = proxies.of(&url.parse().unwrap());
        proxy.map(|proxy| proxy.host().to_owned())
    }

    fn is_direct(no_proxy: &str, url: &str) -> bool {
        let proxy = [("http_proxy", "http://p:1"), ("no_proxy", no_proxy)];
        proxy_of(url, &proxy).is_none()
    }

    #[test]
    fn a_proxy_is_for_its_scheme() {
        let of =
            |url: &str, variables: &[(&str, &str)]| proxy_of(url, variables).unwrap_or_default();
        let https = [("HTTPS_PROXY", "http://s:1")];
        assert_eq!(of("http://host/", &https), "");
        assert_eq!(of("https://host/", &https), "s");
        let all = [
            ("ALL_PROXY", "a:1"),
            ("http_proxy", "h:1"),
            ("HTTP_PROXY", "no:1"),
        ];
        assert_eq!(of("http://host/", &all), "h");
        assert_eq!(of("https://host/", &all), "a");
        assert_eq!(
            of("http://host/", &[("http_proxy", ""), ("HTTP_PROXY", "h:1")]),
            ""
        );
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        let error = Proxies::new(|_| Some("http://".to_owned())).unwrap_err();
        assert!(error.to_string().contains("\"http://\""), "{error}");
    }

    #[test]
    fn domains_hold_for_subdomains() {
        for list in [
            "reg.test",
            ".reg.test",
            "*.reg.test",
            "a,\tREG.TEST. ,b",
            "localhost, reg.test",
        ] {
            assert!(is_direct(list, "http://blobs.reg.test/"), "{list}");
            assert!(is_direct(list, "http://Reg.Test./"), "{list}");
            assert!(!is_direct(list, "http://myreg.test/"), "{list}");
            assert!(!is_direct(list, "http://test/"), "{list}");
        }
        assert!(is_direct("*", "http://anything/"));
        for none in [".", ",", " ", "1.2.3.4/x"] {
            assert!(!is_direct(none, "http://host/"), "{none}");
        }
        assert!(is_direct("host:8000", "http://host:8000/"));
        assert!(is_direct("host:80", "http://host/"));
        assert!(!is_direct("host:8000", "http://host/"));
    }

    #[test]
    fn networks_hold_for_addresses() {
        let local = "http://127.0.0.1:8000/";
        for list in [
            "127.0.0.1",
            "127.0.0.0/8",
            "x, 127.0.0.0/8",
            "0.0.0.0/0",
            "127.0.0.1/32",
            "127.0.0.1:8000",
        ] {
            assert!(is_direct(list, local), "{list}");
        }
        for list in ["127.0.0.2", "126.0.0.0/8", "127.0.0.2/32", "::/0", "0.0.1"] {
            assert!(!is_direct(list, local), "{list}");
        }
        assert!(is_direct("10.1.2.0/23", "http://10.1.3.9/"));
        assert!(!is_direct("10.1.2.0/23", "http://10.1.4.9/"));
        for list in ["::1", "[::1]", "::/64"] {
            assert!(is_direct(list, "http://[::1]:80/"), "{list}");
        }
        assert!(!is_direct("::2", "http://[::1]/"));
        // Names are not looked up.
        assert!(!is_direct("127.0.0.0/8", "http://localhost/"));
    }
}
