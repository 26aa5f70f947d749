#include "textflag.h"

// As entry_amd64.s, with the system calls of the kernel's asm-generic/unistd.h and these registers:
//
//	R19  the initial stack: argc, argv[], 0, envp[], 0, auxv[]
//	R20  argc
//	R21  the last argument
//	R22  the child's pid
//	R23  scratch: two descriptors and 8 bytes, below the initial stack

DATA procs<>+0(SB)/8, $"GOMAXPRO"
DATA procs<>+8(SB)/8, $"CS=1\x00\x00\x00\x00"
GLOBL procs<>(SB), RODATA, $16

GLOBL left<>(SB), NOPTR, $16 // what forked returns

// func entry()
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	MOVD RSP, R19
	SUB  $16, R19, R23
	MOVD 0(R19), R20
	ADD  R20<<3, R19, R21
	MOVD 0(R21), R21
	CBZ  R21, runtime
	MOVWU 0(R21), R0 // the stack may be read at any address
	MOVD $0x72617473, R1 // "star"
	CMPW R1, R0
	BNE  runtime
	MOVHU 4(R21), R0
	CMPW $0x0074, R0 // "t", 0
	BNE  runtime

	MOVD $436, R8 // close_range(3, ~0, 0)
	MOVD $3, R0
	MOVD $0xffffffff, R1
	MOVD $0, R2
	SVC

	MOVD $173, R8 // getppid()
	SVC
	MOVD R0, left<>+8(SB)

	MOVD R23, RSP
	MOVD $59, R8 // pipe2(scratch, O_CLOEXEC)
	MOVD R23, R0
	MOVD $0x80000, R1
	SVC
	CBNZ R0, runtime

	MOVD $220, R8 // clone(SIGCHLD): fork
	MOVD $17, R0
	MOVD $0, R1
	MOVD $0, R2
	MOVD $0, R3
	MOVD $0, R4
	SVC
	CBZ  R0, child
	CMP  $0, R0
	BLT  runtime

	// The waiter.
	MOVD R0, R22
	MOVD $0x4002, R0 // rt_sigprocmask(SIG_BLOCK, {SIGINT, SIGTERM}, 0, 8)
	MOVD R0, 8(R23)
	MOVD $135, R8
	MOVD $0, R0
	ADD  $8, R23, R1
	MOVD $0, R2
	MOVD $8, R3
	SVC
	MOVD $57, R8 // close the child's end
	MOVWU 4(R23), R0
	SVC

read:
	MOVD $63, R8 // read(pipe, scratch, 1)
	MOVWU 0(R23), R0
	ADD  $8, R23, R1
	MOVD $1, R2
	SVC
	CMN  $4, R0 // EINTR
	BEQ  read
	CMP  $1, R0 // released
	MOVD $0, R0
	BEQ  exit

wait:
	MOVD $260, R8 // wait4(child, scratch, 0, 0)
	MOVD R22, R0
	ADD  $8, R23, R1
	MOVD $0, R2
	MOVD $0, R3
	SVC
	CMN  $4, R0 // EINTR
	BEQ  wait
	MOVBU 9(R23), R0 // WEXITSTATUS
	MOVBU 8(R23), R1
	AND  $0x7f, R1 // WTERMSIG
	CBZ  R1, exit
	ADD  $128, R1, R0

exit:
	MOVD $94, R8 // exit_group
	SVC

child:
	MOVWU 4(R23), R0
	ADD  $1, R0
	MOVD R0, left<>+0(SB)
	MOVD $57, R8 // close the waiter's end
	MOVWU 0(R23), R0
	SVC
	MOVW ZR, 0(R21) // blank the action in /proc/PID/cmdline
	MOVB ZR, 4(R21)

	// Move argc and argv[] down by a word and put the first variable into the gap.
	ADD  $2, R20, R2
	MOVD R19, R1

move:
	MOVD 0(R1), R0
	MOVD R0, -8(R1)
	ADD  $8, R1
	SUB  $1, R2
	CBNZ R2, move
	MOVD $procs<>(SB), R0
	MOVD R0, -8(R1)
	SUB  $8, R19

runtime:
	MOVD 0(R19), R0 // argc
	ADD  $8, R19, R1 // argv
	JMP  runtime·rt0_go(SB)

// func forked() (pipe, manager int64)
TEXT ·forked(SB), NOSPLIT, $0-16
	MOVD left<>+0(SB), R0
	MOVD R0, pipe+0(FP)
	MOVD left<>+8(SB), R0
	MOVD R0, manager+8(FP)
	RET
