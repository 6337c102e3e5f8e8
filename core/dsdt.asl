/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest of Lamina can see beyond its processors: a serial port, a clock, and power-off.
 * The ports are those of core/vuart.h, core/vrtc.h and core/vpm.h.
 */
DefinitionBlock ("dsdt.aml", "DSDT", 2, "LAMINA", "LAMINAVM", 1)
{
	/* SLP_TYP of S5 as the sleep control register expects it (core/vpm.h) */
	Name (\_S5, Package () { 5, 0, 0, 0 })

	Scope (\_SB)
	{
		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x3F8, 0x3F8, 0x00, 0x08)
				Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 4 }
			})
		}

		Device (RTC0)
		{
			Name (_HID, EisaId ("PNP0B00"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x70, 0x70, 0x00, 0x02)
			})
		}
	}
}
