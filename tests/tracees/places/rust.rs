// SPDX-License-Identifier: MIT
// Variables of Rust types, for the comparison with gdb.
use std::hint::black_box;

#[derive(Debug, Clone)]
enum Shape {
    Empty,
    Circle { radius: f64 },
    Square(u32, i16),
}

#[derive(Clone, Copy)]
enum Level {
    Low = 1,
    High = 200,
}

struct Point {
    x: i32,
    y: i64,
    tag: u8,
}

#[inline(never)]
fn area(shape: &Shape, scale: u32) -> u32 {
    let result = match shape {
        Shape::Empty => 0,
        Shape::Circle { radius } => (*radius * 3.0) as u32,
        Shape::Square(width, height) => width * (*height as u32),
    };
    black_box(result * scale)
}

#[inline(never)]
fn text(s: &str, numbers: &[u16], level: Level) -> usize {
    let mut sum = s.len();
    for n in numbers {
        sum += *n as usize;
    }
    black_box(sum + level as usize)
}

#[inline(never)]
fn option(value: Option<u32>, reference: Option<&Point>) -> i64 {
    let base = value.unwrap_or(7) as i64;
    let more = match reference {
        Some(point) => point.y + point.x as i64,
        None => -1,
    };
    black_box(base + more)
}

#[inline(never)]
fn own(point: Point, list: Vec<i8>) -> i64 {
    let total: i64 = list.iter().map(|v| *v as i64).sum();
    black_box(total + point.y + point.tag as i64 + point.x as i64)
}

fn main() {
    let mut result = 0i64;
    for shape in [Shape::Empty, Shape::Circle { radius: 2.5 }, Shape::Square(3, 4)] {
        result += area(&shape, 2) as i64;
    }
    result += text("some words", &[1, 2, 300], Level::High) as i64;
    result += text("", &[9], Level::Low) as i64;
    let point = Point { x: -4, y: 1 << 40, tag: 9 };
    result += option(Some(5), Some(&point)) + option(None, None);
    result += own(point, vec![1, -2, 3]);
    println!("{}", result);
}
