# SPDX-License-Identifier: MIT
# More programs of the distribution, each for something that the others do not do; programs.sh beside this sources it.
other_programs="git perl ruby php lua luajit curl tar xz zstd busybox clang lto1 ld gdb vim tmux ffmpeg tcc stress-ng
	sanitized-address sanitized-thread sanitized-undefined musl-static fpc systemd"
# those of the table
table_programs="git perl ruby php lua xz zstd busybox clang gdb vim ffmpeg musl-static sanitized-address"

# A repository of its own with some history.
make_repository()
{
	[ ! -e "$dir/repository" ] || return 0
	HOME=$dir git config --global safe.directory '*' && git init -q "$dir/repository" && (
		cd "$dir/repository" || exit
		git config user.name utrace && git config user.email utrace@localhost && git config gc.auto 0
		git config pack.threads 2
		for i in $(seq 60); do
			for k in 1 2 3 4; do seq $((i * k)) $((i * k + 400)) >"file$(((i * k) % 11))"; done
			git add . && GIT_AUTHOR_DATE="@$((1000000000 + i)) +0000" GIT_COMMITTER_DATE="@$((1000000000 + i)) +0000" \
				git commit -q -m "change $i" || exit
		done
	)
	chmod -R a+rwX "$dir/repository"
}

# A program of our own, by a compiler's option
make_sanitized() # NAME OPTION
{
	file=$dir/work-$1
	compile "$file" gcc -g -O1 $2 -o "$file" "$workloads/work-sanitized.c" -lpthread
}

repeat() # ROUNDS COMMAND: as one command
{
	command="sh -c 'for i in \$(seq $1); do $2; done'"
}

other() # NAME ROUNDS
{
	status=0
	case $1 in
	git)
		need git && file=$found && make_repository || return
		repeat "$2" "export HOME=$dir XDG_CONFIG_HOME=$dir; cd $dir/repository && git log -p --stat | cksum; git repack -adfq; git fsck --full --no-progress" ;;
	perl)
		need perl && file=$(readlink -f "$found")
		cp "$workloads/work.pl" "$dir/" && status=7
		command="$file $dir/work.pl $2" ;;
	ruby)
		need ruby && file=$(library_of ruby libruby)
		cp "$workloads/work.rb" "$dir/" && status=7
		command="$found $dir/work.rb $2" ;;
	php)
		need php && file=$(readlink -f "$found")
		cp "$workloads/work.php" "$dir/" && status=7
		command="$file $dir/work.php $2" ;;
	lua)
		need lua5.4 && file=$(readlink -f "$found")
		cp "$workloads/work.lua" "$dir/" && status=7
		command="$file $dir/work.lua $2" ;;
	luajit)
		need luajit && file=$(readlink -f "$found")
		cp "$workloads/work.lua" "$dir/" && status=7
		command="$file $dir/work.lua $(($2 * 10))" ;;
	curl)
		need curl && file=$(library_of curl libcurl)
		repeat "$2" "curl -sS file:///usr/share/common-licenses/GPL-3 file:///bin/true --next -sS file:///nothing-here 2>&1 | cksum" ;;
	tar)
		need tar && file=$(readlink -f "$found")
		repeat "$2" "tar -C /usr/share -c --sort=name misc common-licenses | tar -t | cksum" ;;
	xz)
		need xz && file=$(library_of xz liblzma)
		repeat "$2" "xz -T2 -2 -c --block-size=300KiB /usr/bin/git | xz -dc | cksum" ;;
	zstd)
		need zstd && file=$(readlink -f "$found")
		repeat "$2" "zstd -q -T2 -5 -c /usr/bin/git | zstd -dcq | cksum" ;;
	busybox)
		need busybox && file=$(readlink -f "$found") && status=3
		command="$file sh -c 'for i in \$(seq $2); do seq 2000 | $file awk \"{ s += \\\$1 * \\\$1 } END { print s }\"; $file md5sum $file; $file gzip -c $file | $file gunzip | $file sha256sum; $file find /usr/share/misc | $file sort | $file head -n 3; done; exit 3'" ;;
	clang)
		need clang && file=$(library_of clang libclang-cpp) && [ -n "$file" ] || file=$(library_of clang libLLVM)
		[ -e "$dir/source.i" ] || make_source >"$dir/source.i"
		head -n 1000 "$dir/source.i" >"$dir/part.i"
		repeat "$2" "clang -x cpp-output -w -O1 -S -o - $dir/part.i | cksum" ;;
	lto1)
		need gcc && file=$(readlink -f "$(gcc -print-prog-name=lto1)") && [ -x "$file" ] || { why="no lto1"; return 1; }
		[ -e "$dir/source.i" ] || make_source >"$dir/source.i"
		compile "$dir/source-lto.o" gcc -O1 -flto -c -o "$dir/source-lto.o" "$dir/source.i" || return
		repeat "$2" "gcc -O1 -flto -flto-partition=none -r -nostdlib -flinker-output=nolto-rel -o $dir/linked.\$\$.o $dir/source-lto.o && objdump -d $dir/linked.\$\$.o | tail -n +4 | cksum; rm $dir/linked.\$\$.o" ;;
	ld)
		need ld && file=$(library_of ld libbfd)
		repeat "$2" "ld -r --whole-archive -o $dir/linked.\$\$.o $(gcc -print-file-name=libc.a) 2>&1 && cksum <$dir/linked.\$\$.o; rm $dir/linked.\$\$.o" ;;
	gdb)
		need gdb && file=$(readlink -f "$found")
		repeat "$2" "gdb -nx -batch -ex \"info functions ^mem\" -ex \"disassemble main\" -ex \"python print(sum(range(1000)))\" /usr/bin/gdb 2>&1 | cksum" ;;
	vim)
		need vim && file=$(readlink -f "$found")
		repeat "$2" "vim -u NONE -i NONE -n -es -c \"set nomore\" -c \"r /usr/share/common-licenses/GPL-3\" -c \"g/the/s//THE/g\" -c \"sort\" -c \"%print\" -c \"qa!\" | cksum" ;;
	tmux)
		need tmux && file=$(readlink -f "$found")
		t="tmux -S $dir/tmux.\$\$.\$i"
		repeat "$2" "tmux -f /dev/null -S $dir/tmux.\$\$.\$i new-session -d -x 160 -y 48 \"seq 3000; sleep 1000\"; $t set -g remain-on-exit on; for k in 1 2 3 4; do $t split-window -d \"sleep 1000\" \; select-layout tiled; done; $t list-panes -F \"#{pane_width} #{pane_height}\"; $t kill-server" ;;
	ffmpeg)
		need ffmpeg && file=$(library_of ffmpeg libavcodec)
		repeat "$2" "ffmpeg -v error -nostdin -f lavfi -i testsrc=size=320x240:rate=25:duration=2 -f lavfi -i sine=duration=2 -c:v mpeg4 -c:a aac -threads 2 -bitexact -f matroska - | cksum; ffmpeg -v error -nostdin -f lavfi -i testsrc2=size=320x240:duration=1 -c:v libx264 -threads 2 -bitexact -f matroska - | cksum" ;;
	tcc)
		need tcc && file=$(readlink -f "$found") && status=7
		cp "$workloads/work-tcc.c" "$dir/"
		repeat "$2" "tcc -run $dir/work-tcc.c"
		command="sh -c 'for i in \$(seq $2); do tcc -run $dir/work-tcc.c; done; exit 7'" ;;
	stress-ng)
		need stress-ng && file=$(readlink -f "$found")
		repeat "$2" "cd $dir && stress-ng --no-rand-seed --temp-path $dir -q --clone 1 --fork 1 --vfork 1 --sigsuspend 1 --futex 1 --mmap 1 --mprotect 1 --rseq 1 --membarrier 1 --stack 1 --sigsegv 1 --sigfpe 1 --sigtrap 1 --sigq 1 --timer 1 --switch 1 --pthread 1 --longjmp 1 --mmap-bytes 8m --timeout 6; echo \$?" ;;
	sanitized-address)
		# looking for leaks is done by way of ptrace, at the end
		make_sanitized address -fsanitize=address && command="env ASAN_OPTIONS=detect_leaks=0 $file $2" status=7 ;;
	sanitized-thread) make_sanitized thread -fsanitize=thread && command="setarch -R $file $2" status=7 ;;
	sanitized-undefined) make_sanitized undefined -fsanitize=undefined && command="$file $2" status=7 ;;
	musl-static)
		need musl-gcc && file=$dir/work-musl && status=7 &&
			compile "$file" musl-gcc -static -O2 -g -o "$file" "$workloads/work-sanitized.c" -lpthread || return
		command="$file $2" ;;
	fpc)
		need fpc || return
		file=$(readlink -f "$(command -v ppcx64)")
		printf 'program p;\nvar i: integer; s: int64;\nbegin\n  s := 0; for i := 1 to 1000 do s := s + i * i; writeln(s);\nend.\n' >"$dir/work.pas"
		repeat "$2" "mkdir -p $dir/fpc.\$\$; $file -v0 -O2 -FE$dir/fpc.\$\$ -FU$dir/fpc.\$\$ $dir/work.pas >$dir/fpc.\$\$/log 2>&1; $dir/fpc.\$\$/work; rm -r $dir/fpc.\$\$" ;;
	systemd)
		need systemd-analyze || return
		file=$(library_of systemd-analyze libsystemd-shared)
		repeat "$2" "systemd-analyze calendar --iterations=20 --base-time=2024-01-01 \"Mon *-*-* 00:00/7\" | grep -v -e From; systemd-analyze timespan 1s 500us 3weeks; systemd-id128 show; systemd-escape a/b-c" ;;
	*) why="nobody knows $1" && return 1 ;;
	esac && [ -n "$file" ]
}
