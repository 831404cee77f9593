/* SPDX-License-Identifier: MIT */
#include "stap/kernel.h"

#include <stdlib.h>
#include <string.h>

/* Sorted.  First components of SystemTap's aliases over the kernel. */
static const char *const families[] = {"__nfs", "__scheduler", "_linuxmib", "_vfs",
	"acpi", "generic", "ioblock", "ioblock_trace", "ioscheduler", "ioscheduler_trace",
	"ipmib", "irq_handler", "kprocess", "linuxmib", "livepatch", "lkmsg", "memory",
	"netdev", "netfilter", "nfs", "nfsd", "nfsderror", "power", "rcu", "rpc",
	"scheduler", "scsi", "signal", "sigpending", "socket", "softirq", "sunrpc", "tcp",
	"tcpmib", "tty", "udp", "vfs", "vm", "workqueue"};

/* Sorted.  Functions of SystemTap's library that look at what only the kernel has. */
static const char *const functions[] = {"addr_to_node", "bdev_partno", "bdevname",
	"d_name", "d_path", "daddr_to_string", "disk_name", "dump_stack",
	"fullname_struct_nameidata", "fullname_struct_path", "get_loadavg_index",
	"get_netdev_name", "gfp_flag_str", "inet_get_ip_source", "inet_get_local_port",
	"inode_name", "inode_path", "ipmib_filter_key", "ipmib_get_proto",
	"ipmib_local_addr", "ipmib_remote_addr", "ipmib_tcp_local_port",
	"ipmib_tcp_remote_port", "irqflags_str", "nfs4_op_name", "panic", "probe_inode",
	"real_mount", "reverse_path_walk", "rpc_task_name", "sprint_loadavg",
	"task_backtrace", "task_dentry_path", "tcpmib_filter_key", "tcpmib_get_state",
	"tcpmib_local_addr", "tcpmib_local_port", "tcpmib_remote_addr",
	"tcpmib_remote_port", "vm_fault_contains"};

static int compare(const void *key, const void *item)
{
	return strcmp(key, *(const char *const *)item);
}

bool stap_is_kernel_family(const char *name)
{
	return bsearch(name, families, sizeof(families) / sizeof(*families),
		       sizeof(*families), compare) != NULL;
}

bool stap_is_kernel_function(const char *name)
{
	return bsearch(name, functions, sizeof(functions) / sizeof(*functions),
		       sizeof(*functions), compare) != NULL;
}
