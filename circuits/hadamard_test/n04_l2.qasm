OPENQASM 3.0;
// hadamard_test, 4 qubits, 2 layers; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input x 3
input float[64] x_0;
input float[64] x_1;
input float[64] x_2;
@qfedfm.weight w 2 3 2
input float[64] w_0;
input float[64] w_1;
input float[64] w_2;
input float[64] w_3;
input float[64] w_4;
input float[64] w_5;
input float[64] w_6;
input float[64] w_7;
input float[64] w_8;
input float[64] w_9;
input float[64] w_10;
input float[64] w_11;
@qfedfm.observable X[0]
@qfedfm.observable Y[0]
qubit[4] q;
ry(x_0) q[1];
ry(x_1) q[2];
ry(x_2) q[3];
h q[0];
cry(w_0) q[0], q[1];
crz(w_1) q[0], q[1];
cry(w_2) q[0], q[2];
crz(w_3) q[0], q[2];
cry(w_4) q[0], q[3];
crz(w_5) q[0], q[3];
cry(w_6) q[0], q[1];
crz(w_7) q[0], q[1];
cry(w_8) q[0], q[2];
crz(w_9) q[0], q[2];
cry(w_10) q[0], q[3];
crz(w_11) q[0], q[3];
