OPENQASM 3.0;
// swap_test, 5 qubits, 2 layers; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input x 2 2 2
input float[64] x_0;
input float[64] x_1;
input float[64] x_2;
input float[64] x_3;
input float[64] x_4;
input float[64] x_5;
input float[64] x_6;
input float[64] x_7;
@qfedfm.observable Z[0]
qubit[5] q;
ry(x_0) q[1];
ry(x_1) q[2];
cx q[1], q[2];
ry(x_2) q[1];
ry(x_3) q[2];
cx q[1], q[2];
ry(x_4) q[3];
ry(x_5) q[4];
cx q[3], q[4];
ry(x_6) q[3];
ry(x_7) q[4];
cx q[3], q[4];
h q[0];
cswap q[0], q[1], q[3];
cswap q[0], q[2], q[4];
h q[0];
