OPENQASM 3.0;
// hardware_efficient, 4 qubits, 2 layers, topology ring, entangler crx; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input x 4
input float[64] x_0;
input float[64] x_1;
input float[64] x_2;
input float[64] x_3;
@qfedfm.weight w 3 4 2
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
@qfedfm.weight v 2 4
input float[64] w_24;
input float[64] w_25;
input float[64] w_26;
input float[64] w_27;
input float[64] w_28;
input float[64] w_29;
input float[64] w_30;
input float[64] w_31;
@qfedfm.observable Z[0]
@qfedfm.observable Z[1]
@qfedfm.observable Z[2]
@qfedfm.observable Z[3]
qubit[4] q;
ry(x_0) q[0];
ry(x_1) q[1];
ry(x_2) q[2];
ry(x_3) q[3];
ry(w_0) q[0];
rz(w_1) q[0];
ry(w_2) q[1];
rz(w_3) q[1];
ry(w_4) q[2];
rz(w_5) q[2];
ry(w_6) q[3];
rz(w_7) q[3];
crx(w_24) q[0], q[1];
crx(w_25) q[1], q[2];
crx(w_26) q[2], q[3];
crx(w_27) q[3], q[0];
ry(w_8) q[0];
rz(w_9) q[0];
ry(w_10) q[1];
rz(w_11) q[1];
ry(w_12) q[2];
rz(w_13) q[2];
ry(w_14) q[3];
rz(w_15) q[3];
crx(w_28) q[0], q[1];
crx(w_29) q[1], q[2];
crx(w_30) q[2], q[3];
crx(w_31) q[3], q[0];
ry(w_16) q[0];
rz(w_17) q[0];
ry(w_18) q[1];
rz(w_19) q[1];
ry(w_20) q[2];
rz(w_21) q[2];
ry(w_22) q[3];
rz(w_23) q[3];
