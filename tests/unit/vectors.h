/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the real programs wrote: age-keygen and age 1.1.1, sops 3.13.2. The key was made for these
 * tests and opens nothing else.
 */
#ifndef VMCRED_TESTS_VECTORS_H
#define VMCRED_TESTS_VECTORS_H

#include <stdint.h>

#define VECTOR_RECIPIENT "age1vmp7ru0wseshef8ec6tgq992f0r02gla2ptrt0e0y9phf9lhju6s37k2p8"
#define VECTOR_IDENTITY  "AGE-SECRET-KEY-1W0QDHEV47ZQKUXYJL2UJ97P7GNXR7ZWMMKZ7V4MK0QYVWM45CF4Q7V54DR"

/* "hello", with age. */
static const uint8_t vector_age[] __attribute__((unused)) = {
	0x61, 0x67, 0x65, 0x2d, 0x65, 0x6e, 0x63, 0x72, 0x79, 0x70, 0x74, 0x69, 0x6f, 0x6e, 0x2e,
	0x6f, 0x72, 0x67, 0x2f, 0x76, 0x31, 0x0a, 0x2d, 0x3e, 0x20, 0x58, 0x32, 0x35, 0x35, 0x31,
	0x39, 0x20, 0x57, 0x63, 0x79, 0x4e, 0x67, 0x47, 0x55, 0x62, 0x75, 0x69, 0x59, 0x6a, 0x47,
	0x76, 0x4e, 0x61, 0x4a, 0x67, 0x71, 0x63, 0x62, 0x4d, 0x52, 0x52, 0x67, 0x30, 0x49, 0x56,
	0x46, 0x50, 0x72, 0x4e, 0x51, 0x41, 0x55, 0x32, 0x50, 0x79, 0x7a, 0x61, 0x46, 0x42, 0x49,
	0x0a, 0x31, 0x51, 0x4f, 0x76, 0x4e, 0x57, 0x77, 0x77, 0x4d, 0x2f, 0x70, 0x6f, 0x73, 0x77,
	0x39, 0x77, 0x6c, 0x49, 0x46, 0x2b, 0x6c, 0x51, 0x36, 0x67, 0x64, 0x6c, 0x77, 0x2b, 0x31,
	0x46, 0x75, 0x58, 0x66, 0x76, 0x37, 0x66, 0x32, 0x79, 0x74, 0x55, 0x56, 0x79, 0x6f, 0x0a,
	0x2d, 0x2d, 0x2d, 0x20, 0x34, 0x71, 0x4e, 0x75, 0x50, 0x52, 0x45, 0x53, 0x44, 0x2b, 0x66,
	0x35, 0x52, 0x38, 0x46, 0x78, 0x78, 0x48, 0x69, 0x6e, 0x50, 0x6e, 0x64, 0x63, 0x2f, 0x6f,
	0x72, 0x4f, 0x57, 0x46, 0x59, 0x4a, 0x63, 0x4d, 0x59, 0x79, 0x4e, 0x30, 0x45, 0x6c, 0x51,
	0x35, 0x55, 0x0a, 0xef, 0xfa, 0x24, 0x7c, 0xd9, 0x1a, 0xc5, 0xe3, 0x9b, 0xb8, 0xab, 0x51,
	0x8c, 0x39, 0x46, 0x89, 0x71, 0x2a, 0x48, 0xdc, 0xcb, 0xd0, 0x84, 0xc8, 0x8d, 0xc8, 0x59,
	0x40, 0x64, 0x00, 0x4b, 0x8f, 0x4d, 0xf9, 0x83, 0x98, 0xdd,
};

/* "hello", with age -a. */
static const char vector_armor[] __attribute__((unused)) =
	"-----BEGIN AGE ENCRYPTED FILE-----\n"
	"YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSB6eFlaMXdLWmYrbVI5QkMz\n"
	"eFNvOS81VFZ3Q00wbFZGYi9ZWTUyeWxKQXdzCnpDKzFEc3U5RExZa1BOdmNxaUsv\n"
	"VFZlckJzN25jb0FSdDQxcUttRWwxRzgKLS0tIGpJa2pJcEFWUnBtNUNnYmxicklP\n"
	"MnQwMUxWYVN4VlIzR29mVWV6RVJZMjQKMD97BeSRAboY60SLvregR0U8/Vopj7Rw\n"
	"/mjjATpM1K8qweHxnQ==\n"
	"-----END AGE ENCRYPTED FILE-----\n";

/* "hello", with sops --input-type binary --output-type json. */
static const char vector_sops_binary[] __attribute__((unused)) =
	"{\n"
	"\t\"data\": \"ENC[AES256_GCM,data:WD20HVs=,iv:ZsExvLo8RggVRMHODY3tTc41"
	"tqYwoaTsOLxo+djr8/E=,tag:7p3/WS+6KhLinQweI2wzjQ==,type:str]\",\n"
	"\t\"sops\": {\n"
	"\t\t\"age\": [\n"
	"\t\t\t{\n"
	"\t\t\t\t\"enc\": \"-----BEGIN AGE ENCRYPTED FILE-----\\nYWdlLWVuY3J5cH"
	"Rpb24ub3JnL3YxCi0+IFgyNTUxOSBMc0hQTlJYQ3N2dy9LUnBH\\nUHRZbVlNYUgvQXF6a"
	"2l1Sk9sRTdjVXB6aEdvCmhTc2ttZFNhQzN2cGZEWnl2b0ln\\ndFpjOEFzaFVPUElFK0N3"
	"eXZLV3RVSWsKLS0tIHdpcGZpZ3JnL044NHNjWkx3RGIx\\nU2JjeHNrRGlabDU5bStydVl"
	"NZDVRcDQKbU/68URqgJn2/48sMDJnvUHQ9uM3Ztwe\\nC/MsxLwTSF7t+RuKEAmEg3pW8X"
	"55kFtNYqkp0SF3BI2h3Ig5z+zrUA==\\n-----END AGE ENCRYPTED FILE-----"
	"\\n\",\n"
	"\t\t\t\t\"recipient\": \"age1vmp7ru0wseshef8ec6tgq992f0r02gla2ptrt0e0y"
	"9phf9lhju6s37k2p8\"\n"
	"\t\t\t}\n"
	"\t\t],\n"
	"\t\t\"lastmodified\": \"2026-11-24T08:39:03Z\",\n"
	"\t\t\"mac\": \"ENC[AES256_GCM,data:5wSkDz5sX71LDHgKDAe0z0Z83QZJyOliHHU"
	"ffs3M4acvEpggxa4DZ+RtzNerqsGwlbuDwhtpUMszWklyccJbEjvHCJ2K2FdovU+xHMZtg"
	"o6PSBPF4K47sIfcsKR4QnIOHgzAQGXuWZPZ+vpj4mcqqsdtFwJ7GAkvy5D5RHpksPk=,iv"
	":4G4q6u8thUcO+gKzdsldGq8W4MV3U2AH/i+AeUeJWh8=,tag:Td48Lr2QMk4cfirygkrl"
	"Nw==,type:str]\",\n"
	"\t\t\"version\": \"3.13.2\"\n"
	"\t}\n"
	"}\n";

/* {"db": {"user": "admin", "port": 5432, "ratio": 0.5, "on": true, "tags": ["a", "", null]},
 * "note_unencrypted": "plain"}, with sops. */
static const char vector_sops_tree[] __attribute__((unused)) =
	"{\n"
	"\t\"db\": {\n"
	"\t\t\"user\": \"ENC[AES256_GCM,data:2Fb7s5Q=,iv:8SYOnWyiRL1pUIMyY2PZ/d"
	"7blplS8SItgzoTubvF4HA=,tag:LU1bmtLEpdA5jGmCtiQ8qg==,type:str]\",\n"
	"\t\t\"port\": \"ENC[AES256_GCM,data:nNWdEw==,iv:F6nxH5lSO/5ijU+V21KGFz"
	"U8kstb05yT6JoMhJWTysI=,tag:PavQZJfga68ii+vnDR2u3Q==,type:int]\",\n"
	"\t\t\"ratio\": \"ENC[AES256_GCM,data:9iyJ,iv:7cqIktVyMgnzd8ZxCOyx22L55"
	"6Xn7rjwwT6D0YjBR8k=,tag:43Cpeve/kX6UwLxrMRyusA==,type:float]\",\n"
	"\t\t\"on\": \"ENC[AES256_GCM,data:Y3RSDg==,iv:Csf+NSTlXlO5R8XIEeRDu3wK"
	"50MDb4FbfxvET9Vt3s8=,tag:J6+TMGg7IWrlmdm8OfY/dg==,type:bool]\",\n"
	"\t\t\"tags\": [\n"
	"\t\t\t\"ENC[AES256_GCM,data:UA==,iv:UzrI4esNnNhUMOfdIT7GDdRMD3VQwGBdh/"
	"VxqRsEZoQ=,tag:JEILHOdY/3ZSr1s1Tvos8Q==,type:str]\",\n"
	"\t\t\t\"\",\n"
	"\t\t\tnull\n"
	"\t\t]\n"
	"\t},\n"
	"\t\"note_unencrypted\": \"plain\",\n"
	"\t\"sops\": {\n"
	"\t\t\"age\": [\n"
	"\t\t\t{\n"
	"\t\t\t\t\"enc\": \"-----BEGIN AGE ENCRYPTED FILE-----\\nYWdlLWVuY3J5cH"
	"Rpb24ub3JnL3YxCi0+IFgyNTUxOSBYZUZqRWI3Vmc0VEVNWkxR\\nVitma0VNR2FqZ2JxU"
	"Vp1UEVFdDVHR2JpK21zCjB6czNQRTRKcEhaN2hqOEVVL1NU\\nUW1Nd1ExOGVFRnBsNUE2"
	"SHZ2amd3RHcKLS0tIHhtOFUvSmdjVkhQdVFCR1cvcjcx\\nRGdjZ1lSUG1DK3ZpQ1N5Rnp"
	"mRmRwUU0KZkoTQCojLHjmoPApbso1glgUgKzMVp8t\\nM+/3ZWvfdAeMpw19rc0rndSRYI"
	"pdTsAAB79DkBQ/t1x32HC2NeuDYw==\\n-----END AGE ENCRYPTED FILE-----"
	"\\n\",\n"
	"\t\t\t\t\"recipient\": \"age1vmp7ru0wseshef8ec6tgq992f0r02gla2ptrt0e0y"
	"9phf9lhju6s37k2p8\"\n"
	"\t\t\t}\n"
	"\t\t],\n"
	"\t\t\"lastmodified\": \"2026-11-24T08:39:03Z\",\n"
	"\t\t\"mac\": \"ENC[AES256_GCM,data:DEnbVwvTCj8LR+bHjzn/OEBafDkkk2cm6qS"
	"vMzDaoHRibreoTOlYqQbhWRf54ZM/Mtg9Yr9xrvr+4YIyPns6KKBLJftpui2+MtPiUC4Dr"
	"kOYaU5rDxBeZuYKVX6VPdZrTtRADSwKgi8N+/AyR1ybLMRkEHOsD2lC/rZiu/hTJU4=,iv"
	":F2NwIqx8cCjfGrW9Cmu+aR+U4RSNoVD8D13eIViSUEQ=,tag:I/i2nxhLDgjq9Ed6fBoy"
	"kQ==,type:str]\",\n"
	"\t\t\"unencrypted_suffix\": \"_unencrypted\",\n"
	"\t\t\"version\": \"3.13.2\"\n"
	"\t}\n"
	"}\n";

/* A document of sops 3.7.3, with the fields that it wrote whether there was something in them or
 * not. */
static const char vector_sops_old[] __attribute__((unused)) =
	"{\n"
	"\t\"a\": \"ENC[AES256_GCM,data:Bg==,iv:b9/1FzeOUV2Ym6ZzE0zGbGW8OVkj+G8SoovaH3PX1"
	"XA=,tag:ZC54d3iK7IHqlW0TXqfG/Q==,type:str]\",\n"
	"\t\"b\": [\n"
	"\t\t\"ENC[AES256_GCM,data:Mw==,iv:ki+I57BDRkFy2lUDDngIxIzcwFs5FG/YZufRyjHrGbc=,t"
	"ag:3OVrHtyy5EAN6RyBsWBNAQ==,type:float]\",\n"
	"\t\t\"ENC[AES256_GCM,data:qc0+,iv:HNwc8JxfAcs2Qc1y3alsApgVtXjnBdLwSJWtYU36/kI=,t"
	"ag:ZDl7ZHQ3wt4xkPZnQufGWA==,type:float]\",\n"
	"\t\t\"ENC[AES256_GCM,data:nCzSmA==,iv:BQBRwYBAmonhM2Ym1rnTg/8tFpx7/91zflaOdVP0tp"
	"E=,tag:hmzQgaKg6kt7jNGMbQulPA==,type:bool]\",\n"
	"\t\tnull\n"
	"\t],\n"
	"\t\"sops\": {\n"
	"\t\t\"kms\": null,\n"
	"\t\t\"gcp_kms\": null,\n"
	"\t\t\"azure_kv\": null,\n"
	"\t\t\"hc_vault\": null,\n"
	"\t\t\"age\": [\n"
	"\t\t\t{\n"
	"\t\t\t\t\"recipient\": \"age1vmp7ru0wseshef8ec6tgq992f0r02gla2ptrt0e0y9phf9lhju6"
	"s37k2p8\",\n"
	"\t\t\t\t\"enc\": \"-----BEGIN AGE ENCRYPTED FILE-----\\nYWdlLWVuY3J5cHRpb24ub3Jn"
	"L3YxCi0+IFgyNTUxOSBBbXkySlNKWUZ4THVhbzc3\\nc3hPMjVWODg4L1BPTERqaXAzblpQQ1E2a1VjC"
	"mRJbGs0SWNYakltOHI3VmF0U1hz\\nNmZ3VTdMVDVmeWxNRUdka2RkbE4rUnMKLS0tIDY4eW80ZVl5dF"
	"Y4L3dqSUtraEg0\\nQ3REUWdmbHhqRmxWYmtFZlZaU1JFWFEKrUkFw4YFcFczo8i/gu5oqKZccZ2ZBVC"
	"U\\neEnwMfNTcE3wQByy+g8Bg4yJbKKqadfCI1FlfqohGmcm2Hp/6uGBqQ==\\n-----END AGE ENCR"
	"YPTED FILE-----\\n\"\n"
	"\t\t\t}\n"
	"\t\t],\n"
	"\t\t\"lastmodified\": \"2026-11-24T12:06:59Z\",\n"
	"\t\t\"mac\": \"ENC[AES256_GCM,data:bc/25uIiZGDv1NmHiT6aHH3IlSXpvIYN/ZqhzJ56fXv6Z"
	"ykkYFthwvQr3vaigi3ysS3kc+7PYcUhuchPp6423wiVpAVilioa345JvQsvRbn5kLcjDoSwolwsZYfpO"
	"0yohHJnQ5QXLJO+alUbEOKmIsBZ4B/tnlG9veY9c+dU6XI=,iv:KYAALI2u7oiM8x+D5DHdHl3aHDRQ6"
	"SahR7vwRbAYhoU=,tag:JJJjKUuZAGOnMGwXNMc3bQ==,type:str]\",\n"
	"\t\t\"pgp\": null,\n"
	"\t\t\"unencrypted_suffix\": \"_unencrypted\",\n"
	"\t\t\"version\": \"3.7.3\"\n"
	"\t}\n"
	"}\n";

#endif
