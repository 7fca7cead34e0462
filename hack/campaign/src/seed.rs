//! Randomness from one seed: that of the standard library's hash maps, of UUIDs, of kube's hash maps and of its pauses. Each
//! thread has its own, so that runs side by side do not disturb each other.
//!
//! In a program that links this crate, `getrandom` is the function here and no longer that of the C library. Nothing in such a
//! program is secret: it holds no credentials of anybody.
#![allow(unsafe_code, reason = "a symbol of the C library is replaced")]

use std::cell::Cell;
use std::sync::Once;

use ahash::RandomState;
use ahash::random_state::RandomSource;
use uuid::Uuid;

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// The next number of this thread (SplitMix64).
pub fn draw() -> u64 {
    let state = STATE.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
    STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A number below `end`.
pub fn below(end: u64) -> u64 {
    draw() % end.max(1)
}

/// From now on all randomness of this thread follows from `seed`. To be called first of all in a new thread: the standard
/// library draws the keys of a thread's hash maps once.
///
/// # Panics
/// If the program takes randomness from elsewhere: its runs could not be replayed.
pub fn plant(seed: u64) {
    for_all_threads();
    STATE.set(seed);
    fastrand::seed(draw());
    let before = STATE.get();
    let drawn = Uuid::new_v4();
    STATE.set(before);
    assert_eq!(drawn, Uuid::new_v4(), "getrandom is not the one of this crate");
}

/// What is drawn once per process, on a thread of its own, so that no run's numbers depend on whether it is the first.
fn for_all_threads() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let drawn = std::thread::spawn(|| {
            STATE.set(0);
            // It fails if another source was set before, which nothing here does.
            let _ = ahash::random_state::set_random_source(OfThread);
            RandomState::new()
        });
        drop(drawn.join());
    });
}

/// kube's hash maps: the randomness of the thread that creates them.
struct OfThread;

impl RandomSource for OfThread {
    fn gen_hasher_seed(&self) -> usize {
        draw() as usize
    }
}

/// The C library's function of this name.
///
/// # Safety
/// As there: `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&draw().to_le_bytes()[..chunk.len()]);
    }
    length.cast_signed()
}
