//! Lifetimes of secrets, which mark those of one Kubernetes object. Pure.

/// The longest life, which is also the default of the API.
pub const LONGEST_S: u64 = 63_072_000;
/// A day: lifetimes are shortened by less.
const MOST_SHORTER_S: u64 = 86_400;
/// How much a time of the account may be rounded.
pub const ROUNDED_S: u64 = 5;

/// The number of a text such as `3600s`.
pub fn seconds(lifetime: &str) -> Option<u64> {
    lifetime.strip_suffix('s')?.parse().ok()
}

/// By how much lifetimes of this length are shortened at most.
pub fn range(lifetime: u64) -> u64 {
    (lifetime / 20).clamp(1, MOST_SHORTER_S)
}

/// The lifetime that marks the secrets of one Kubernetes object: the same each time (FNV-1a). It differs by more than rounding from
/// the lifetime itself, which others write.
pub fn marked(lifetime: u64, marker: &str) -> u64 {
    let hash = marker.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let least = ROUNDED_S + 1;
    lifetime.saturating_sub(least + hash % range(lifetime).saturating_sub(least).max(1))
}

/// Whether two lifetimes are further apart than may be.
pub fn differ(one: Option<&str>, other: Option<&str>, at_most: impl Fn(u64) -> u64) -> bool {
    match (one.map(seconds), other.map(seconds)) {
        (Some(Some(one)), Some(Some(other))) => one.abs_diff(other) > at_most(one),
        // What does not end by itself does no harm.
        (None, _) | (_, None) => false,
        _ => one != other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lifetime_marks_the_secrets_of_one_object() {
        let one = marked(LONGEST_S, "a/b/c");
        assert_eq!(one, marked(LONGEST_S, "a/b/c"), "each time");
        assert_ne!(one, marked(LONGEST_S, "a/b/d"));
        for lifetime in [3600, 86_400, 7_776_000, LONGEST_S] {
            let marked = marked(lifetime, "installation/namespace/name");
            assert!(
                marked <= lifetime && marked > lifetime - lifetime / 20 - 1,
                "{lifetime} became {marked}"
            );
        }
    }

    /// A person, or another tool, writes the lifetime as it is: such a secret is not taken for a lost one of ours.
    #[test]
    fn no_mark_is_the_lifetime_that_others_write() {
        for lifetime in [3600, 86_400, LONGEST_S] {
            let text = |seconds: u64| format!("{seconds}s");
            for object in 0..1000 {
                let own = text(marked(lifetime, &format!("a/b/{object}")));
                assert!(differ(Some(&own), Some(&text(lifetime)), |_| ROUNDED_S), "{own} of {lifetime}");
            }
        }
    }
}
