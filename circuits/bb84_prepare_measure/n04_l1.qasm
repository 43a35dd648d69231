OPENQASM 3.0;
// bb84_prepare_measure, 4 qubits, 1 layer; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input bit 4
input float[64] x_0;
input float[64] x_1;
input float[64] x_2;
input float[64] x_3;
@qfedfm.input sent 4
input float[64] x_4;
input float[64] x_5;
input float[64] x_6;
input float[64] x_7;
@qfedfm.input read 4
input float[64] x_8;
input float[64] x_9;
input float[64] x_10;
input float[64] x_11;
@qfedfm.observable Z[0]
@qfedfm.observable Z[1]
@qfedfm.observable Z[2]
@qfedfm.observable Z[3]
qubit[4] q;
ry(pi*x_0) q[0];
ry(pi/2*x_4) q[0];
ry(-pi/2*x_8) q[0];
ry(pi*x_1) q[1];
ry(pi/2*x_5) q[1];
ry(-pi/2*x_9) q[1];
ry(pi*x_2) q[2];
ry(pi/2*x_6) q[2];
ry(-pi/2*x_10) q[2];
ry(pi*x_3) q[3];
ry(pi/2*x_7) q[3];
ry(-pi/2*x_11) q[3];
