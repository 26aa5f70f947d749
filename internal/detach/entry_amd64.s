#include "textflag.h"

// What the Go runtime does not have yet, this code does without: a stack of its own, TLS, g. It makes system calls, numbered as in
// the kernel's syscall_64.tbl, and uses registers that they leave alone:
//
//	R12  the initial stack (System V ABI, 3.4.1): argc, argv[], 0, envp[], 0, auxv[]
//	R13  argc
//	R14  the last argument
//	R15  the child's pid
//
// Below the initial stack are 16 bytes of scratch: the pipe's two descriptors, and 8 bytes for what a call reads or writes.

DATA procs<>+0(SB)/8, $"GOMAXPRO"
DATA procs<>+8(SB)/8, $"CS=1\x00\x00\x00\x00"
GLOBL procs<>(SB), RODATA, $16

GLOBL left<>(SB), NOPTR, $16 // what forked returns

// func entry()
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	MOVQ SP, R12
	MOVQ 0(R12), R13
	MOVQ (R12)(R13*8), R14
	TESTQ R14, R14
	JZ   runtime
	CMPL 0(R14), $0x72617473 // "star"
	JNE  runtime
	CMPW 4(R14), $0x0074 // "t", 0
	JNE  runtime

	MOVQ $436, AX // close_range(3, ~0, 0): nothing of the manager's is for the server
	MOVQ $3, DI
	MOVL $0xffffffff, SI
	XORL DX, DX
	SYSCALL

	MOVQ $110, AX // getppid()
	SYSCALL
	MOVQ AX, left<>+8(SB)

	SUBQ $16, SP
	MOVQ $293, AX // pipe2(SP, O_CLOEXEC)
	MOVQ SP, DI
	MOVL $0x80000, SI
	SYSCALL
	TESTQ AX, AX
	JNZ  runtime // which starts the server by other means, or says why it cannot

	MOVQ $56, AX // clone(SIGCHLD): fork
	MOVL $17, DI
	XORL SI, SI
	XORL DX, DX
	XORL R10, R10
	XORL R8, R8
	SYSCALL
	TESTQ AX, AX
	JZ   child
	JLT  runtime

	// The waiter.
	MOVQ AX, R15
	MOVQ $14, AX // rt_sigprocmask(SIG_BLOCK, {SIGINT, SIGTERM}, 0, 8): a daemon that is stopped must not leave half a shim
	MOVQ $0x4002, 8(SP)
	XORL DI, DI
	LEAQ 8(SP), SI
	XORL DX, DX
	MOVL $8, R10
	SYSCALL
	MOVQ $3, AX // close the child's end
	MOVL 4(SP), DI
	SYSCALL

read:
	MOVQ $0, AX // read(pipe, scratch, 1)
	MOVL 0(SP), DI
	LEAQ 8(SP), SI
	MOVL $1, DX
	SYSCALL
	CMPQ AX, $-4 // EINTR
	JEQ  read
	XORL DI, DI
	CMPQ AX, $1 // released
	JEQ  exit

wait:
	MOVQ $61, AX // wait4(child, scratch, 0, 0)
	MOVQ R15, DI
	LEAQ 8(SP), SI
	XORL DX, DX
	XORL R10, R10
	SYSCALL
	CMPQ AX, $-4 // EINTR
	JEQ  wait
	MOVBLZX 9(SP), DI // WEXITSTATUS
	MOVBLZX 8(SP), AX
	ANDL $0x7f, AX // WTERMSIG
	JZ   exit
	LEAQ 128(AX), DI

exit:
	MOVQ $231, AX // exit_group
	SYSCALL

child:
	MOVL 4(SP), AX
	INCQ AX
	MOVQ AX, left<>+0(SB)
	MOVQ $3, AX // close the waiter's end
	MOVL 0(SP), DI
	SYSCALL
	MOVL $0, 0(R14) // blank the action in /proc/PID/cmdline
	MOVB $0, 4(R14)

	// Move argc and argv[] down by a word: the gap before envp[] is for the first variable, which hides a later one of its name.
	MOVQ R12, SI
	LEAQ -8(R12), DI
	LEAQ 2(R13), CX
	CLD
	REP; MOVSQ
	LEAQ procs<>(SB), AX
	MOVQ AX, 0(DI)
	SUBQ $8, R12

runtime:
	MOVQ 0(R12), DI // argc
	LEAQ 8(R12), SI // argv
	MOVQ R12, SP
	JMP  runtime·rt0_go(SB)

// func forked() (pipe, manager int64)
TEXT ·forked(SB), NOSPLIT, $0-16
	MOVQ left<>+0(SB), AX
	MOVQ AX, pipe+0(FP)
	MOVQ left<>+8(SB), AX
	MOVQ AX, manager+8(FP)
	RET
