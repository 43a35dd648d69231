OPENQASM 3.0;
// hardware_efficient, 7 qubits, 1 layer, topology heavy_hex, entangler cz; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input x 7
input float[64] x_0;
input float[64] x_1;
input float[64] x_2;
input float[64] x_3;
input float[64] x_4;
input float[64] x_5;
input float[64] x_6;
@qfedfm.weight w 2 7 2
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
input float[64] w_24;
input float[64] w_25;
input float[64] w_26;
input float[64] w_27;
@qfedfm.observable Z[0]
@qfedfm.observable Z[1]
@qfedfm.observable Z[2]
@qfedfm.observable Z[3]
@qfedfm.observable Z[4]
@qfedfm.observable Z[5]
@qfedfm.observable Z[6]
qubit[7] q;
ry(x_0) q[0];
ry(x_1) q[1];
ry(x_2) q[2];
ry(x_3) q[3];
ry(x_4) q[4];
ry(x_5) q[5];
ry(x_6) q[6];
ry(w_0) q[0];
rz(w_1) q[0];
ry(w_2) q[1];
rz(w_3) q[1];
ry(w_4) q[2];
rz(w_5) q[2];
ry(w_6) q[3];
rz(w_7) q[3];
ry(w_8) q[4];
rz(w_9) q[4];
ry(w_10) q[5];
rz(w_11) q[5];
ry(w_12) q[6];
rz(w_13) q[6];
cz q[0], q[1];
cz q[0], q[5];
cz q[2], q[3];
cz q[4], q[6];
cz q[1], q[2];
cz q[3], q[4];
ry(w_14) q[0];
rz(w_15) q[0];
ry(w_16) q[1];
rz(w_17) q[1];
ry(w_18) q[2];
rz(w_19) q[2];
ry(w_20) q[3];
rz(w_21) q[3];
ry(w_22) q[4];
rz(w_23) q[4];
ry(w_24) q[5];
rz(w_25) q[5];
ry(w_26) q[6];
rz(w_27) q[6];
