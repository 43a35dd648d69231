OPENQASM 3.0;
// brickwork, 4 qubits, 2 layers; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input x 4
input float[64] x_0;
input float[64] x_1;
input float[64] x_2;
input float[64] x_3;
@qfedfm.weight w 2 4 3
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
input float[64] w_12;
input float[64] w_13;
input float[64] w_14;
input float[64] w_15;
input float[64] w_16;
input float[64] w_17;
input float[64] w_18;
input float[64] w_19;
input float[64] w_20;
input float[64] w_21;
input float[64] w_22;
input float[64] w_23;
@qfedfm.observable Z[0]
@qfedfm.observable Z[1]
@qfedfm.observable Z[2]
@qfedfm.observable Z[3]
qubit[4] q;
ry(x_0) q[0];
ry(x_1) q[1];
ry(x_2) q[2];
ry(x_3) q[3];
rz(w_0) q[0];
ry(w_1) q[0];
rz(w_2) q[0];
rz(w_3) q[1];
ry(w_4) q[1];
rz(w_5) q[1];
rz(w_6) q[2];
ry(w_7) q[2];
rz(w_8) q[2];
rz(w_9) q[3];
ry(w_10) q[3];
rz(w_11) q[3];
cx q[0], q[1];
cx q[2], q[3];
rz(w_12) q[0];
ry(w_13) q[0];
rz(w_14) q[0];
rz(w_15) q[1];
ry(w_16) q[1];
rz(w_17) q[1];
rz(w_18) q[2];
ry(w_19) q[2];
rz(w_20) q[2];
rz(w_21) q[3];
ry(w_22) q[3];
rz(w_23) q[3];
cx q[1], q[2];
