OPENQASM 3.0;
// qft_sum, 4 qubits, 2 layers; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input x 2
input float[64] x_0;
input float[64] x_1;
@qfedfm.observable Z[0]
@qfedfm.observable Z[1]
@qfedfm.observable Z[2]
@qfedfm.observable Z[3]
qubit[4] q;
h q[0];
h q[1];
h q[2];
h q[3];
p(pi*x_0) q[0];
p(pi/2*x_0) q[1];
p(pi/4*x_0) q[2];
p(pi/8*x_0) q[3];
p(pi*x_1) q[0];
p(pi/2*x_1) q[1];
p(pi/4*x_1) q[2];
p(pi/8*x_1) q[3];
p(pi*x_0) q[0];
p(pi/2*x_0) q[1];
p(pi/4*x_0) q[2];
p(pi/8*x_0) q[3];
p(pi*x_1) q[0];
p(pi/2*x_1) q[1];
p(pi/4*x_1) q[2];
p(pi/8*x_1) q[3];
h q[0];
cp(-pi/2) q[0], q[1];
h q[1];
cp(-pi/4) q[0], q[2];
cp(-pi/2) q[1], q[2];
h q[2];
cp(-pi/8) q[0], q[3];
cp(-pi/4) q[1], q[3];
cp(-pi/2) q[2], q[3];
h q[3];
swap q[0], q[3];
swap q[1], q[2];
