/* SPDX-License-Identifier: Apache-2.0 */
/* A hypervisor that ends at its first instruction: linked statically, so that what comes before it
 * is the kernel's exec alone. */
int main(void)
{
	return 0;
}
