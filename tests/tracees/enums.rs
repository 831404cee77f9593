// SPDX-License-Identifier: MIT
// Enums with data, told apart by a number of their own, or by values that their data cannot have.
#![allow(dead_code)]
use std::hint::black_box;

pub enum Shape {
    Nothing,
    Circle(u32),
    Square { side: i64, name: &'static str },
}

#[repr(i8)]
pub enum Signed {
    Low(u8) = -2,
    High(u8) = 5,
}

pub enum Only {
    One(u16),
}

pub struct Place {
    at: Option<Shape>,
    letter: Option<char>,
    deep: Option<Option<bool>>,
}

#[inline(never)]
fn shape(s: &Shape, n: u64) -> u64 {
    black_box(s);
    n
}

#[inline(never)]
fn reference(r: Option<&u64>, b: Option<Box<u32>>, n: u64) -> u64 {
    black_box(&r);
    black_box(&b);
    n
}

#[inline(never)]
fn signed(s: Signed, o: Only, n: u64) -> u64 {
    black_box(&s);
    black_box(&o);
    n
}

#[inline(never)]
fn place(p: &Place, n: u64) -> u64 {
    black_box(p);
    n
}

fn main() {
    let value = 7;
    let mut sum = 0;
    for (i, s) in [Shape::Nothing, Shape::Circle(5), Shape::Square { side: -3, name: "four" }].iter().enumerate() {
        sum += shape(s, i as u64);
    }
    sum += reference(None, Some(Box::new(9)), 0) + reference(Some(&value), None, 1);
    sum += signed(Signed::Low(1), Only::One(3), 0) + signed(Signed::High(2), Only::One(4), 1);
    sum += place(&Place { at: Some(Shape::Circle(8)), letter: None, deep: Some(None) }, 0);
    sum += place(&Place { at: None, letter: Some('x'), deep: Some(Some(true)) }, 1);
    println!("{}", sum);
}
