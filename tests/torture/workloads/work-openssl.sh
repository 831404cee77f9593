# SPDX-License-Identifier: MIT
# usage: work-openssl.sh ROUNDS: hand-written assembly with all registers in use
for round in $(seq "$1"); do
	for cipher in aes-128-cbc aes-256-ctr chacha20 camellia-256-cbc aria-128-cbc des-ede3-cbc; do
		openssl enc -$cipher -pbkdf2 -iter 2000 -pass pass:a -S 0102030405060708 -in /usr/bin/openssl | cksum
	done
	openssl dgst -sha256 -sha3-512 -blake2b512 -md5 /usr/bin/openssl /bin/sh | cksum
	for digest in sha1 sha256 sha512 sha3-256 blake2s256 sm3 ripemd160; do
		openssl dgst -$digest /usr/bin/openssl
	done
	openssl prime 170141183460469231731687303715884105727
	openssl speed -seconds 1 aes-256-cbc sha256 ecdsap256 >/dev/null 2>&1
done
exit 7
