// SPDX-License-Identifier: MIT
// usage: Work ROUNDS: a bit of everything, the same output each time
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;

public class Work {
	static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
	static int deep(int n) { return n == 0 ? 0 : 1 + deep(n - 1); }
	static String work(int seed) throws Exception {
		Random r = new Random(seed);
		List<Integer> list = r.ints(50000).boxed().collect(Collectors.toList());
		Collections.sort(list);
		Map<Integer, Integer> m = new TreeMap<>();
		for (int v : list) m.merge(Math.floorMod(v, 997), 1, Integer::sum);
		int nulls = 0, overflows = 0;
		for (int i = 0; i < 20000; i++) {
			Object o = i % 3 == 0 ? null : "x";
			try { nulls += o.hashCode() & 1; } catch (NullPointerException e) { nulls += 10; }
		}
		try { forever(0); } catch (StackOverflowError e) { overflows++; }
		byte[] garbage = null;
		for (int i = 0; i < 2000; i++) garbage = new byte[100000];
		var digest = java.security.MessageDigest.getInstance("SHA-256").digest(list.toString().getBytes());
		return fib(25) + " " + m.hashCode() + " " + nulls + " " + overflows + " " + deep(500) + " " + Arrays.hashCode(digest) + garbage.length;
	}
	static int forever(int n) { return forever(n + 1) + 1; }
	public static void main(String[] a) throws Exception {
		var pool = Executors.newFixedThreadPool(4);
		var all = new ArrayList<Future<String>>();
		for (int i = 0; i < 8 * Integer.parseInt(a[0]); i++) { int k = i % 8; all.add(pool.submit(() -> work(k))); }
		var out = new TreeSet<String>();
		for (var f : all) out.add(f.get());
		for (var s : out) System.out.println(s);
		pool.shutdown();
		System.exit(7);
	}
}
