//! What the operator states of agents and machines, and whom a statement is about.

use core::net::IpAddr;

use crate::model::{Statement, Time};

impl Statement {
    /// Whether it is about an agent then, as far as that is known. Names are patterns in which `*`
    /// stands for any text.
    pub(super) fn is_about(
        &self,
        agent: Option<&str>,
        machine: Option<&str>,
        pool: Option<&str>,
        at: Time,
    ) -> bool {
        let in_force = self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until);
        let fits = |pattern: &Option<String>, name: Option<&str>| {
            pattern.as_deref().is_none_or(|pattern| name.is_some_and(|name| matches(pattern, name)))
        };
        in_force && fits(&self.agent, agent) && fits(&self.machine, machine) && fits(&self.pool, pool)
    }

    /// Whom it is about, in words.
    pub(super) fn whom(&self) -> String {
        let parts = [("agents", &self.agent), ("machines", &self.machine), ("pool", &self.pool)];
        let named = parts.iter().filter_map(|(what, name)| Some(format!("{what} {}", name.as_deref()?)));
        let named: Vec<String> = named.collect();
        if named.is_empty() { "all agents".to_owned() } else { named.join(", ") }
    }

    /// Whether an address is one of those it names.
    pub(super) fn has_address(&self, ip: &str) -> bool {
        let Ok(ip) = ip.parse::<IpAddr>().map(|ip| ip.to_canonical()) else { return false };
        self.addresses.iter().any(|network| within(ip, network))
    }
}

/// Whether a pattern with `*` fits a name, in any casing.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn within(ip: IpAddr, network: &str) -> bool {
    let (address, bits) = network.split_once('/').unwrap_or((network, "128"));
    let bits: u32 = bits.parse().unwrap_or(128);
    let Ok(own) = address.parse::<IpAddr>() else { return false };
    // `::ffff:10.0.0.0/104` is 10.0.0.0/8 in the words of the other family.
    let (own, bits) = match own.to_canonical() {
        plain @ IpAddr::V4(_) if own.is_ipv6() && bits >= 96 => (plain, bits - 96),
        _ => (own, bits),
    };
    match (ip, own) {
        (IpAddr::V4(ip), IpAddr::V4(own)) => {
            let shift = 32 - bits.min(32);
            u64::from(ip.to_bits()) >> shift == u64::from(own.to_bits()) >> shift
        }
        (IpAddr::V6(ip), IpAddr::V6(own)) => {
            let same = |shift: u32| ip.to_bits() >> shift == own.to_bits() >> shift;
            bits == 0 || same(128 - bits.min(128))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_with_its_stars_in_any_casing() {
        for (pattern, name, fits) in [
            ("linux-*", "Linux-Build-01", true),
            ("*", "", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b", "ab", true),
            ("ab*b", "ab", false),
            ("linux", "linux-1", false),
            ("*-1", "linux-1", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn an_address_lies_in_its_network() {
        let of = |network: &str| Statement { addresses: vec![network.to_owned()], ..Statement::default() };
        assert!(of("10.1.2.0/24").has_address("10.1.2.200") && !of("10.1.2.0/24").has_address("10.1.3.1"));
        assert!(of("10.1.2.3").has_address("10.1.2.3") && !of("10.1.2.3").has_address("10.1.2.4"));
        assert!(of("0.0.0.0/0").has_address("9.9.9.9") && of("fd00::/8").has_address("fd12::1"));
        assert!(
            of("10.0.0.0/8").has_address("::ffff:10.1.2.3"),
            "the same address in the words of the other family"
        );
        assert!(of("::ffff:10.0.0.0/104").has_address("10.1.2.3"));
        assert!(!of("::ffff:10.0.0.0/104").has_address("11.1.2.3"));
        assert!(!of("::/0").has_address("9.9.9.9") && !of("10.0.0.0/8").has_address("no address"));
    }
}
