/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ssh-keygen (OpenSSH 9.2) wrote. The keys were made for these tests and open nothing else.
 */
#ifndef VMCRED_TESTS_SSH_VECTORS_H
#define VMCRED_TESTS_SSH_VECTORS_H

/* ssh-keygen -t ed25519 -N "" */
#define SSH_ED25519_PUBLIC \
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMBQCaOJ1WJEkH3hVF5kJQ+fzOHmYKlFLAxZDLF0P37u test"
static const char ssh_ed25519_private[] __attribute__((unused)) =
	"-----BEGIN OPENSSH PRIVATE KEY-----\n"
	"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
	"QyNTUxOQAAACDAUAmjidViRJB94VReZCUPn8zh5mCpRSwMWQyxdD9+7gAAAIg4cnNfOHJz\n"
	"XwAAAAtzc2gtZWQyNTUxOQAAACDAUAmjidViRJB94VReZCUPn8zh5mCpRSwMWQyxdD9+7g\n"
	"AAAEAWxtatkOpwD2o/n7abYbrgKo6Q0oRzGW5E49SJFNb0pcBQCaOJ1WJEkH3hVF5kJQ+f\n"
	"zOHmYKlFLAxZDLF0P37uAAAABHRlc3QB\n"
	"-----END OPENSSH PRIVATE KEY-----\n";

/* ssh-keygen -t ed25519 -N test -a 1 */
#define SSH_ENCRYPTED_PUBLIC \
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOrxZVbM4/8ppBWjBJS/RJ9VbaVgYQKwCKmCsaJS91HO test"
static const char ssh_encrypted_private[] __attribute__((unused)) =
	"-----BEGIN OPENSSH PRIVATE KEY-----\n"
	"b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABAeorwSbe\n"
	"7e8rv6sYRSpiYqAAAAAQAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIOrxZVbM4/8ppBWj\n"
	"BJS/RJ9VbaVgYQKwCKmCsaJS91HOAAAAkAqcPFlKtpAfXS2cQ53O9Ua8pjy5GhRaJV8V5K\n"
	"8OeYb8RrFmTUM93vCUOG7IJWqv1pIJdEsK421MsGHdNwvLxJDg5/nc9ByQ58PjwJc7tZki\n"
	"ldQA4pSbL4a2Ir6mQ1luyqj3q3ujNgfv5H0Wlov7GM6z7A7B78tr9ITQpoE0Ey1U/d3opy\n"
	"Mq52giUVz29OpUdw==\n"
	"-----END OPENSSH PRIVATE KEY-----\n";

/* ssh-keygen -t rsa -b 2048 -N "" */
#define SSH_RSA_PUBLIC                                                                             \
	"ssh-rsa "                                                                                 \
	"AAAAB3NzaC1yc2EAAAADAQABAAABAQCtBsKDjoVf43mXeLLg+YcCO0L0251dy+EZbZXR9fX/"                 \
	"rcjr9hSnY5MbHg26pASR6SvoDK8B8JE/"                                                         \
	"d8h6OIbForefIJBG1cpusuXoChYVm8iSwskRk9TQosHqsR7+"                                         \
	"u5fDcSA4oFKE19dCBr169Vhb66M15Pr1gNnjQRV8Qd3PNcAZDPmlpzbzHOA6UyAQNJxlMegHpqb0JN9IlKy2Wyk4" \
	"+tOFla4hrVz2H58FCcMM6OlD2T1p/"                                                            \
	"jkC47xskIVpHZowebrkrvk0UgwOs9eyE2jnwXKM+HIDANrk+PTKB9GgDVDc3fd0ordIbtum+d1G0/hisV/"       \
	"F7vjjbugPS9HAbKSwNn0l test"
static const char ssh_rsa_private[] __attribute__((unused)) =
	"-----BEGIN OPENSSH PRIVATE KEY-----\n"
	"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAABFwAAAAdzc2gtcn\n"
	"NhAAAAAwEAAQAAAQEArQbCg46FX+N5l3iy4PmHAjtC9NudXcvhGW2V0fX1/63I6/YUp2OT\n"
	"Gx4NuqQEkekr6AyvAfCRP3fIejiGxaK3nyCQRtXKbrLl6AoWFZvIksLJEZPU0KLB6rEe/r\n"
	"uXw3EgOKBShNfXQga9evVYW+ujNeT69YDZ40EVfEHdzzXAGQz5pac28xzgOlMgEDScZTHo\n"
	"B6am9CTfSJSstlspOPrThZWuIa1c9h+fBQnDDOjpQ9k9af45AuO8bJCFaR2aMHm65K75NF\n"
	"IMDrPXshNo58FyjPhyAwDa5Pj0ygfRoA1Q3N33dKK3SG7bpvndRtP4YrFfxe74427oD0vR\n"
	"wGyksDZ9JQAAA8Ai7eeVIu3nlQAAAAdzc2gtcnNhAAABAQCtBsKDjoVf43mXeLLg+YcCO0\n"
	"L0251dy+EZbZXR9fX/rcjr9hSnY5MbHg26pASR6SvoDK8B8JE/d8h6OIbForefIJBG1cpu\n"
	"suXoChYVm8iSwskRk9TQosHqsR7+u5fDcSA4oFKE19dCBr169Vhb66M15Pr1gNnjQRV8Qd\n"
	"3PNcAZDPmlpzbzHOA6UyAQNJxlMegHpqb0JN9IlKy2Wyk4+tOFla4hrVz2H58FCcMM6OlD\n"
	"2T1p/jkC47xskIVpHZowebrkrvk0UgwOs9eyE2jnwXKM+HIDANrk+PTKB9GgDVDc3fd0or\n"
	"dIbtum+d1G0/hisV/F7vjjbugPS9HAbKSwNn0lAAAAAwEAAQAAAQABpaTgRQQxGyFhhzEn\n"
	"hTCOdwgM4r9L5CCYXtIhIMboWc9MROtbtlqxR72CBCthkTDm2u7ai5+L7vgeIIYfgP95X0\n"
	"FVInyOEuiV2oZTZKHjTCfguzT4jg54mhpTre9eP9tg6dCUE6Yb3b3b59R6vlKijqaytt9V\n"
	"s4OnGABqx2LBlxMRnV6DPGrRFay/OqJIpxvwJ6V8nL1E4RJdzw5ZrRdvqwYQK1XyJatdyK\n"
	"ORtC0vQAU6ZlWlRf4JqR3QuvzGJkBUhMwWsUrH3/pwmaYJSKEuM4lYWGXrrcgXIbjfouSI\n"
	"Ef+Q3c2YGsLZmzBj13K3YDc9jXXYnY+wJB6KQJ9jAbNJAAAAgGzIXxx/HhRfVZT+xBqo07\n"
	"+9dSUmeX+GgG8jWv3CBeYKdECh4NTDT5zZLL4Rw4OaT6cJZ7ZGYv58zgU6OVxKnhcO/KLB\n"
	"KCT/IOf51KHbI/iSeZzPDzBstSzP8jt03WwyHT7VdyeuqaglGWhx8G8EPQ/L4NSTpC8CTj\n"
	"SaUvvSpmIcAAAAgQDbjn31gYxhR4pCux7fkcvCDsvmrM/wBMcPejwktAO0Y6B6qk+1yZIi\n"
	"rMV2fSh6G5m1RHo+QfoSkH7K8nP1aw6fDMiMy7nqJ6LSHWnTCHqQYqLPHJGT88j+oKrwOD\n"
	"f+scniXiY0/TJhGlORfLFdJ6mz1Q97bAE4LPMZAJQuoxJL7QAAAIEAyb8VV5nEV9c7ljyd\n"
	"dQ9lVNQyE/zM81xd4FX8HPveeYepBr2OuarlDMnZ1M1oyYGpmNb36B7EEgbt2kmvxtDGXA\n"
	"5CypbZY8xzhX9JpmVvmvoCHCriek66FEaytD4X707zpkPyJ0YlSrHk0LDnOYkl/X3PI1JJ\n"
	"zNAvcpxde298/xkAAAAEdGVzdAECAwQFBgc=\n"
	"-----END OPENSSH PRIVATE KEY-----\n";

#endif
