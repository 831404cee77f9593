// SPDX-License-Identifier: MIT
mod shapes {
    pub trait Area {
        fn area(&self) -> u64;
    }
    pub struct Square(pub u64);
    impl Area for Square {
        #[inline(never)]
        fn area(&self) -> u64 {
            std::hint::black_box(self.0) * self.0
        }
    }
    #[inline(never)]
    pub fn total<T: Area>(all: &[T]) -> u64 {
        all.iter().map(|x| x.area()).sum()
    }
}

fn main() {
    let n: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let all: Vec<shapes::Square> = (0..n).map(shapes::Square).collect();
    println!("total={}", shapes::total(&all));
}
