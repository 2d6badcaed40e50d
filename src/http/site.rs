//! Which addresses belong together. A partner's metadata says where our credentials and tokens go: it must not send them, or
//! us, to servers that are none of its own (server-side request forgery).

use url::{Host, Url};

use super::leads_to_this_machine;

/// Whether `endpoint` is on the site of `issuer`: the same host, a host below it, or one beside it, as in `login.` and `idm.` of
/// one domain. A domain whose hosts are anybody's, such as `co.uk`, is no site.
pub fn is_same_site(issuer: &str, endpoint: &str) -> bool {
    let (Some(issuer_host), Some(endpoint_host)) = (host(issuer), host(endpoint)) else { return false };
    if issuer_host == endpoint_host || (leads_to_this_machine(issuer) && leads_to_this_machine(endpoint)) {
        return true;
    }
    let (Host::Domain(issuer), Host::Domain(endpoint)) = (issuer_host, endpoint_host) else { return false };
    let is_below = |domain: &str| {
        endpoint.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    is_below(&issuer)
        || issuer.split_once('.').is_some_and(|(_, domain)| is_of_one_owner(domain) && is_below(domain))
}

/// Whether `url` is at one of `hosts`.
pub fn is_at(hosts: &[String], url: &str) -> bool {
    host(url)
        .is_some_and(|host| hosts.iter().any(|listed| Host::parse(listed).is_ok_and(|listed| listed == host)))
}

fn host(url: &str) -> Option<Host<String>> {
    let url = Url::parse(url).ok()?;
    let host = url.host()?.to_owned();
    Some(match host {
        Host::Domain(name) => Host::Domain(name.trim_end_matches('.').to_owned()),
        address => address,
    })
}

/// Not a top-level domain, nor one of the usual second levels under a country's, where anybody may have a name.
fn is_of_one_owner(domain: &str) -> bool {
    let Some((rest, top)) = domain.rsplit_once('.') else { return false };
    rest.contains('.') || top.len() > 2 || rest.len() > 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_one_site() {
        for (issuer, endpoint, expected) in [
            ("https://idm.county.example", "https://idm.county.example:8443/token", true),
            ("https://IDM.county.example./realms/a", "https://idm.county.example/token", true),
            ("https://county.example", "https://login.county.example/token", true),
            ("https://idm.county.example", "https://login.county.example/token", true),
            ("https://idm.county.example", "https://county.example/token", true),
            ("https://a.idm.county.example", "https://b.county.example/token", false),
            ("https://county.example", "https://other.example/token", false),
            ("https://idm.county.example", "https://idm.county.example.evil.example/token", false),
            ("https://idm.county.example", "https://evilcounty.example/token", false),
            ("https://county.co.uk", "https://fire.co.uk/token", false),
            ("https://idm.county.co.uk", "https://login.county.co.uk/token", true),
            ("https://192.0.2.1", "https://192.0.2.1/token", true),
            ("https://192.0.2.1", "https://192.0.2.2/token", false),
            ("https://192.0.2.1", "https://0xC0000201/token", true),
            ("https://idm.county.example", "https://127.0.0.1/token", false),
            ("https://idm.county.example", "https://10.0.0.1/token", false),
            ("https://idm.county.example", "https://[::1]/token", false),
            ("http://127.0.0.1:1", "http://localhost:2/token", true),
            ("http://127.0.0.1:1", "https://idm.county.example/token", false),
            ("https://idm.county.example", "not a URL", false),
        ] {
            assert_eq!(is_same_site(issuer, endpoint), expected, "{issuer} {endpoint}");
        }
    }

    #[test]
    fn a_listed_host_is_compared_as_one() {
        let hosts = ["Keys.example".to_owned(), "192.0.2.1".to_owned(), "[::1]".to_owned()];
        for (url, expected) in [
            ("https://keys.example:1/jwks", true),
            ("https://192.0.2.1/jwks", true),
            ("https://[::1]:2/jwks", true),
            ("https://a.keys.example/jwks", false),
        ] {
            assert_eq!(is_at(&hosts, url), expected, "{url}");
        }
    }
}
