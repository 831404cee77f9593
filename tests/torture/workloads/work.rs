// SPDX-License-Identifier: MIT
// usage: work ROUNDS: a bit of everything, the same output each time
use std::collections::{BTreeMap, HashMap};
use std::panic;
use std::sync::mpsc;
use std::thread;

fn fib(n: u32) -> u32 {
    if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
}

fn fail(n: u32) -> u32 {
    if n % 3 == 0 { panic!("three") }
    if n == 0 { 0 } else { fail(n - 1) }
}

fn work(seed: u64) -> String {
    let mut x = seed;
    let mut a: Vec<u64> = (0..20000).map(|_| { x = (x * 1103515245 + 12345) % 2147483648; x }).collect();
    a.sort();
    let text = a.iter().map(|v| v.to_string()).collect::<Vec<_>>().join(",");
    let back: Vec<u64> = text.split(',').map(|s| s.parse().unwrap()).collect();
    assert_eq!(a, back);
    let mut m = HashMap::new();
    for v in &a { *m.entry(v % 997).or_insert(0u64) += 1; }
    let b: BTreeMap<_, _> = m.into_iter().collect();
    let caught = (1..300).filter(|n| panic::catch_unwind(|| fail(*n)).is_err()).count();
    format!("{} {} {} {}", fib(20), caught, b.values().zip(b.keys()).map(|(p, q)| p * q).sum::<u64>(), text.len())
}

fn main() {
    panic::set_hook(Box::new(|_| {}));
    let rounds: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    let (tx, rx) = mpsc::channel();
    let threads: Vec<_> = (0..8).map(|i| { let tx = tx.clone(); thread::spawn(move || for _ in 0..rounds { tx.send((i, work(i))).unwrap() }) }).collect();
    for t in threads { t.join().unwrap(); }
    drop(tx);
    let all: BTreeMap<_, _> = rx.into_iter().collect();
    for (i, s) in all { println!("{} {}", i, s); }
    std::process::exit(7);
}
