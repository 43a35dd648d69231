OPENQASM 3.0;
// basic_entangler, 4 qubits, 2 layers; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input x 4
input float[64] x_0;
input float[64] x_1;
input float[64] x_2;
input float[64] x_3;
@qfedfm.weight w 2 4
input float[64] w_0;
input float[64] w_1;
input float[64] w_2;
input float[64] w_3;
input float[64] w_4;
input float[64] w_5;
input float[64] w_6;
input float[64] w_7;
@qfedfm.observable Z[0]
@qfedfm.observable Z[1]
@qfedfm.observable Z[2]
@qfedfm.observable Z[3]
qubit[4] q;
ry(x_0) q[0];
ry(x_1) q[1];
ry(x_2) q[2];
ry(x_3) q[3];
rx(w_0) q[0];
rx(w_1) q[1];
rx(w_2) q[2];
rx(w_3) q[3];
cx q[0], q[1];
cx q[1], q[2];
cx q[2], q[3];
cx q[3], q[0];
rx(w_4) q[0];
rx(w_5) q[1];
rx(w_6) q[2];
rx(w_7) q[3];
cx q[0], q[1];
cx q[1], q[2];
cx q[2], q[3];
cx q[3], q[0];
