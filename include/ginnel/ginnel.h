/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything of the Ginnel core library. Each concept also has its own header beside this one.
 */
#ifndef GINNEL_GINNEL_H
#define GINNEL_GINNEL_H

#include <ginnel/errors.h>
#include <ginnel/identity.h>
#include <ginnel/message.h>
#include <ginnel/names.h>
#include <ginnel/options.h>
#include <ginnel/pipe.h>
#include <ginnel/pipeline.h>
#include <ginnel/port.h>
#include <ginnel/process.h>
#include <ginnel/segment.h>
#include <ginnel/signals.h>
#include <ginnel/timeouts.h>
#include <ginnel/waitset.h>

#endif
