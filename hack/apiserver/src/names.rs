//! What the server draws: uids and the ends of generated names, from a counter.

/// The characters of generated names.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A number as five characters of a name.
pub fn suffix(mut number: u64) -> String {
    let mut digit = || {
        let digit = ALPHABET[(number % ALPHABET.len() as u64) as usize];
        number /= ALPHABET.len() as u64;
        digit as char
    };
    let mut text: Vec<char> = (0..5).map(|_| digit()).collect();
    text.reverse();
    text.into_iter().collect()
}

/// A number in the form of a UUID of version 4.
pub fn uid(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}
